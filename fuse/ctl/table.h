/* SPDX-License-Identifier: Apache-2.0 */
/* A table for people: columns that line up, and colour where a terminal shows it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "layerindex/cleanup.h"

enum colour { PLAIN, BOLD, RED, GREEN, YELLOW };

struct column {
	const char *title;
	bool right; /* numbers */
};

struct table {
	const struct column *columns; /* borrowed */
	size_t width;		      /* columns in it */
	struct cell {
		char *text;
		enum colour colour;
	} * cells; /* row after row; owned */
	size_t count, capacity;
};

#define TABLE_OF(COLUMNS) \
	((struct table){.columns = (COLUMNS), .width = sizeof(COLUMNS) / sizeof(*(COLUMNS))})

/*
 * Appends a cell; what a terminal would obey in it becomes visible. Returns: 0 or -ENOMEM.
 */
int table_add(struct table *table, enum colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a name as it is: name_printable(). */
int table_add_name(struct table *table, enum colour colour, const char *name);

/* Prints it to stdout, with its titles. */
void table_print(const struct table *table);

/* A time of the clock on the wall for a cell; "-" where it is none: a file may have any. */
void table_time(time_t when, char ret[static 32]);

void table_done(struct table *table);
DEFINE_CLEANUP(struct table, table_done)

/* Decides whether colours are printed, by what stdout is now. Before it none is. */
void colour_setup(void);

/*
 * What begins (and, for PLAIN, ends) a colour on stdout; "" where that is no terminal, or NO_COLOR
 * is set (https://no-color.org).
 */
const char *colour_code(enum colour colour);
