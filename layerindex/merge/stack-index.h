/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that a stack has from an index, and facts that the index will have from the stack. */
#pragma once

#include "layerindex/index/facts.h"
#include "layerindex/index/identity.h"
#include "layerindex/index/index.h"
#include "layerindex/index/lookup-log.h"
#include "layerindex/merge/stack.h"

/*
 * Layers on top of others' that may be another image's own: so many keys are tried when a stack is
 * opened, and written when something was learned.
 */
enum { CHAINS_MAX = 16 };

struct stack_index {
	const struct li_index *index; /* borrowed */
	struct chain_key keys[CHAINS_MAX];
	struct identity tops[CHAINS_MAX];
	size_t chains; /* how many there are of both */
	size_t loaded; /* the layer from which on *facts* speak; the stack's size: none */
	bool stale;    /* the facts were found to be wrong */
	bool stable;   /* what is learned holds for as long as the keys do */
	struct lookup_log log;
	char damaged[CHAIN_KEY_NAME + 1]; /* a file that must be replaced; "": none */
	struct facts facts;		  /* read from the index */
};

/*
 * Finds out which layers they are, without opening them, and what the index knows; stack->known is
 * then the layer from which on stack->known_facts speak.
 * Returns: 0; or why no index can be used, which is no failure of the stack.
 */
int stack_index_open(struct li_stack *stack, const struct li_index *index);
void stack_index_close(struct li_stack *stack);

/* Stops believing what the index said: every layer is asked from now on. *stale*: it was wrong. */
void stack_index_forget(struct li_stack *stack, bool stale);

/* The row in which lookups of *path* are noted, or NULL: none is noted. */
struct probe *stack_index_row(struct li_stack *stack, const char *path);

/* The fact about *path* in the layers from stack->known on, or NULL. */
const struct fact *stack_index_fact(const struct li_stack *stack, const char *path);
