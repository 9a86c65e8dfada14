/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 by SHA-NI: Intel's "Intel SHA Extensions", 2013. The instructions keep the state as two
 * vectors, ABEF and CDGH, and do two rounds each.
 */
#include "layerindex/hash/sha256-blocks.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

/* Not __builtin_cpu_supports(): it asks a dozen times, before main(). */
bool sha256_sha_ni_detect(void)
{
	unsigned a, b, c, d, extended;

	__cpuid(0, a, b, c, d);
	if (a < 7)
		return false;
	__cpuid_count(7, 0, a, extended, c, d);
	if (!(extended & bit_SHA))
		return false;
	__cpuid(1, a, b, c, d);
	return (c & bit_SSSE3) && (c & bit_SSE4_1);
}

__attribute__((target("sha,sse4.1,ssse3"))) static inline void
add_block(__m128i *abef, __m128i *cdgh, const uint8_t *block)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i s0 = *abef, s1 = *cdgh;
	__m128i w[4];

#pragma GCC unroll 16
	for (size_t i = 0; i < 16; i++) {
		__m128i *now = &w[i % 4];
		const __m128i *constants = (const __m128i *)(sha256_constants + 4 * i);
		__m128i words;

		if (i < 4) {
			words = _mm_loadu_si128((const __m128i *)(block + 16 * i));
			*now = _mm_shuffle_epi8(words, big_endian);
		} else {
			words = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
			words = _mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(i + 1) % 4]), words);
			*now = _mm_sha256msg2_epu32(words, w[(i + 3) % 4]);
		}
		words = _mm_add_epi32(*now, _mm_loadu_si128(constants));
		s1 = _mm_sha256rnds2_epu32(s1, s0, words);
		s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(words, 0x0e));
	}
	*abef = _mm_add_epi32(*abef, s0);
	*cdgh = _mm_add_epi32(*cdgh, s1);
}

__attribute__((target("sha,sse4.1,ssse3"))) void sha256_sha_ni(uint32_t state[static 8],
							       const uint8_t *blocks, size_t n)
{
	__m128i *low = (__m128i *)state, *high = (__m128i *)(state + 4);
	__m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(low), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(high), 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
	__m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
	__m128i feba, dchg;

	for (size_t i = 0; i < n; i++)
		add_block(&abef, &cdgh, blocks + i * SHA256_BLOCK);
	feba = _mm_shuffle_epi32(abef, 0x1b);
	dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128(low, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128(high, _mm_alignr_epi8(dchg, feba, 8));
}

#endif
