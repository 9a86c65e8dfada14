/* SPDX-License-Identifier: Apache-2.0 */
/* In which order spawn.c and reader.c take their turns: another in each round. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The same orders in every run. */
static uint32_t chance(void)
{
	static uint32_t state = 2463534242;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static void shuffle(size_t *order, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = chance() % i;
		size_t moved = order[i - 1];

		order[i - 1] = order[other];
		order[other] = moved;
	}
}
