/* SPDX-License-Identifier: Apache-2.0 */
/* --version: what this build and this kernel can do. */
#pragma once

void version_print(const char *program);
