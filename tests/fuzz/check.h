/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzing targets share: their entry point, and how they say that something is wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"

/* libFuzzer's entry point; the corpus is run through it too (main.c). Returns: 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a string of exactly its size; owned. */
char *input_string(const uint8_t *data, size_t size);

/* A finding unless it *holds*: says *what* does not, and aborts. */
static inline void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}

/* A failure has a code and a printable sentence, a success has neither. */
void require_reason(int r, const struct view_error *error);

/* Every layer has a name, and no range of owners reaches beyond 32 bits. */
void require_sound_overlay(const struct overlay_options *overlay);

/*
 * A filesystem that is mounted nowhere and goes with its descriptor, which is the caller's. Where
 * there can be none the program ends: a test that is skipped, or fails where it must run.
 */
int open_scratch(void);
