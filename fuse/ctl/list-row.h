/* SPDX-License-Identifier: Apache-2.0 */
/* What viewfsctl list shows of one view, as far as it is known. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fuse/base/error.h"
#include "fuse/ctl/table.h"
#include "fuse/live/views.h"

enum passthrough_known { PASSTHROUGH_UNKNOWN, PASSTHROUGH_NO, PASSTHROUGH_YES };

/* Everything is borrowed from the view, and can be shown. */
struct list_row {
	const struct listed_view *view;
	const char *mountpoint; /* NULL: not known; as it is, where the view is mounted */
	const char *id;		/* NULL: none */
	enum passthrough_known passthrough;
	struct json_object *image;     /* an object, or NULL */
	struct json_object *artifacts; /* an array, or NULL */
	struct json_object *missing;   /* an array, or NULL */
	uint64_t layers;	       /* 0: not known */
	bool detached;		       /* it was made without a place; false: not known either */
	bool survives;		       /* a second process takes over; false: not known either */
	uint64_t private_dirty;	       /* bytes; 0: not known */
};

/* *memory*: how much memory the process takes is read, too, which takes time. */
struct list_row list_row(const struct listed_view *view, bool memory);

enum { LIST_COLUMNS_MAX = 32 };

/* A choice of columns. */
struct list_columns {
	struct column titles[LIST_COLUMNS_MAX];
	size_t numbers[LIST_COLUMNS_MAX]; /* of columns that exist */
	size_t count;
	bool memory; /* one of them shows it */
};

/* Chooses those that are shown without -o. */
void list_columns_default(struct list_columns *ret);

/*
 * Parses the names of columns, separated by commas, in any case.
 * Returns: 0, or < 0 with *error*.
 */
int list_columns_parse(const char *names, struct list_columns *ret, struct view_error *error);

/* The names of all columns, for --help. */
void list_columns_help(void);

/* Adds a row. *terminal*: ids are short, and each is shown once. Returns: 0 or -ENOMEM. */
int list_row_add(struct table *table, const struct list_columns *columns,
		 const struct list_row *row, bool terminal);

/* Returns: the row as JSON; owned, or NULL without memory. */
struct json_object *list_row_json(const struct list_row *row);

/* Prints sums of all rows as metrics, in the text format of Prometheus. */
void list_print_metrics(const struct views *views);
