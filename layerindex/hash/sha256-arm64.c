/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by ARMv8's SHA2 instructions: Arm Architecture Reference Manual, SHA256H and its kin. */
#include "layerindex/hash/sha256-blocks.h"

#ifdef __aarch64__

#if defined(__clang__) && !defined(__ARM_FEATURE_SHA2)
/* Up to version 15 it declares no intrinsic that the whole file was not compiled for. */
#define __ARM_FEATURE_SHA2 1
#endif
#include <arm_neon.h>
#include <sys/auxv.h>

#ifdef __clang__
#define SHA2 __attribute__((target("sha2")))
#else
#define SHA2 __attribute__((target("+crypto")))
#endif

bool sha256_arm_sha2_detect(void)
{
	return getauxval(AT_HWCAP) & HWCAP_SHA2;
}

SHA2 static inline void add_block(uint32x4_t *abcd, uint32x4_t *efgh, const uint8_t *block)
{
	uint32x4_t s0 = *abcd, s1 = *efgh;
	uint32x4_t w[4];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		uint32x4_t *now = &w[i % 4];
		uint32x4_t words, before = s0;

		if (i < 4)
			*now = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block + 16 * (size_t)i)));
		else
			*now = vsha256su1q_u32(vsha256su0q_u32(*now, w[(i + 1) % 4]),
					       w[(i + 2) % 4], w[(i + 3) % 4]);
		words = vaddq_u32(*now, vld1q_u32(sha256_constants + 4 * (size_t)i));
		s0 = vsha256hq_u32(s0, s1, words);
		s1 = vsha256h2q_u32(s1, before, words);
	}
	*abcd = vaddq_u32(*abcd, s0);
	*efgh = vaddq_u32(*efgh, s1);
}

SHA2 void sha256_arm_sha2(uint32_t state[static 8], const uint8_t *blocks, size_t n)
{
	uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);

	for (size_t i = 0; i < n; i++)
		add_block(&abcd, &efgh, blocks + i * SHA256_BLOCK);
	vst1q_u32(state, abcd);
	vst1q_u32(state + 4, efgh);
}

#endif
