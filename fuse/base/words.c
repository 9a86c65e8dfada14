/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int words_find(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (int i = 0;; i++) {
		size_t n = strcspn(list, "|");

		if (n == length && memcmp(list, word, n) == 0)
			return i;
		if (!list[n])
			return -1;
		list += n + 1;
	}
}

void words_phrase(const char *list, char ret[static WORDS_PHRASE_SIZE])
{
	const char *last = strrchr(list, '|');
	size_t done = 0;

	for (; *list && done + sizeof(" or ") < WORDS_PHRASE_SIZE; list++) {
		const char *between = list == last ? " or " : ", ";

		if (*list == '|')
			done = (size_t)(stpcpy(ret + done, between) - ret);
		else
			ret[done++] = *list;
	}
	ret[done] = '\0';
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edit distance of two words of at most WORD_MAX bytes; to swap two neighbours counts as one
 * ("optimal string alignment"). Of the matrix, three rows are kept.
 */
static size_t edit_distance(const char *a, size_t m, const char *b, size_t n)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= m; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3], *second = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				       above[j - 1] + !same_letter(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]))
				row[j] = least(row[j], second[j - 2] + 1);
		}
	}
	return rows[m % 3][n];
}

struct nearest nearest_to(const char *typed, size_t length)
{
	return (struct nearest){
		.typed = typed,
		.length = length,
		.distance = (length + 2) / 4 + 1, /* one more than the most that resembles */
	};
}

void nearest_offer(struct nearest *nearest, const char *list)
{
	if (nearest->length > WORD_MAX)
		return;
	for (;;) {
		size_t n = strcspn(list, "|");
		size_t distance = n <= WORD_MAX
					  ? edit_distance(nearest->typed, nearest->length, list, n)
					  : nearest->distance;

		if (distance < nearest->distance && distance < nearest->length) {
			nearest->distance = distance;
			snprintf(nearest->word, sizeof(nearest->word), "%.*s", (int)n, list);
		}
		if (!list[n])
			return;
		list += n + 1;
	}
}
