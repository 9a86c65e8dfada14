/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that time limits are measured by. */
#pragma once

#include <stdint.h>

/* The monotonic clock (CLOCK_MONOTONIC) in microseconds. */
uint64_t now_us(void);
