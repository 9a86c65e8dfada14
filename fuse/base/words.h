/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of words that a user may type, as one string: "auto|on|off". A pointer for each word would
 * be a relocation in every view's memory.
 */
#pragma once

#include <stddef.h>

enum {
	WORD_MAX = 31,		/* bytes; no word that is longer resembles another */
	WORDS_PHRASE_SIZE = 64, /* cuts a longer phrase */
};

/* Returns: the position of *word* in *list*, from 0, or -1. */
int words_find(const char *list, const char *word);

/* Writes the words of *list* for a sentence: "auto, on or off". */
void words_phrase(const char *list, char ret[static WORDS_PHRASE_SIZE]);

/* The known word that a mistyped one resembles most. */
struct nearest {
	const char *typed; /* borrowed */
	size_t length;	   /* of *typed*, in bytes */
	size_t distance;   /* of *word*: letters that are missing, too many, wrong or swapped */
	char word[WORD_MAX + 1]; /* "": no word resembles it */
};

/* What the first *length* bytes of *typed* resemble; nothing has been offered yet. */
struct nearest nearest_to(const char *typed, size_t length);

/*
 * Offers the words of *list*. A word resembles *typed* if about a quarter of the letters differ at
 * most; the case of letters does not count. Takes constant time for each word.
 */
void nearest_offer(struct nearest *nearest, const char *list);
