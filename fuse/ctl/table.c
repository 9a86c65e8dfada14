/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fuse/base/text.h"
#include "layerindex/array.h"

int table_add(struct table *table, enum colour colour, const char *format, ...)
{
	cleanup_free char *text = NULL;
	struct cell *cells;
	va_list args;

	va_start(args, format);
	text = text_vformat(format, args);
	va_end(args);
	if (!text)
		return -ENOMEM;
	cells = array_grow(table->cells, table->count, &table->capacity, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	table->cells = cells;
	table->cells[table->count] = (struct cell){text_printable(text), colour};
	if (!table->cells[table->count].text)
		return -ENOMEM;
	table->count++;
	return 0;
}

int table_add_name(struct table *table, enum colour colour, const char *name)
{
	cleanup_free char *shown = name_printable(name);

	return shown ? table_add(table, colour, "%s", shown) : -ENOMEM;
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){};
}

static bool coloured;

void colour_setup(void)
{
	const char *no_colour = getenv("NO_COLOR");

	coloured = !(no_colour && *no_colour) && isatty(STDOUT_FILENO);
}

const char *colour_code(enum colour colour)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m",  [BOLD] = "\033[1m",    [RED] = "\033[31m",
		[GREEN] = "\033[32m", [YELLOW] = "\033[33m",
	};

	return coloured ? codes[colour] : "";
}

/* Characters, of which every one is taken to be as wide as any other. */
static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = characters(table->columns[column].title);

	for (size_t i = column; i < table->count; i += table->width) {
		size_t n = characters(table->cells[i].text);

		width = n > width ? n : width;
	}
	return width;
}

static void print_cell(const struct table *table, size_t column, size_t width, const char *text,
		       enum colour colour)
{
	bool last = column + 1 == table->width, right = table->columns[column].right;
	int padding = (int)(width - characters(text));

	/* Nothing is padded that nothing follows. */
	printf("%*s%s%s%s%*s%s", right ? padding : 0, "",
	       colour == PLAIN ? "" : colour_code(colour), text,
	       colour == PLAIN ? "" : colour_code(PLAIN), right || last ? 0 : padding, "",
	       last ? "\n" : "  ");
}

void table_print(const struct table *table)
{
	cleanup_free size_t *widths = calloc(table->width, sizeof(*widths));

	for (size_t i = 0; widths && i < table->width; i++) {
		widths[i] = column_width(table, i);
		print_cell(table, i, widths[i], table->columns[i].title, BOLD);
	}
	for (size_t i = 0; widths && i < table->count; i++)
		print_cell(table, i % table->width, widths[i % table->width], table->cells[i].text,
			   table->cells[i].colour);
}

void table_time(time_t when, char ret[static 32])
{
	struct tm tm;

	if (!localtime_r(&when, &tm) || strftime(ret, 32, "%Y-%m-%d %H:%M", &tm) == 0)
		snprintf(ret, 32, "-");
}
