/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of viewfsctl. Each takes its own name as argv[0] and returns the exit status. */
#pragma once

int ctl_resolve(int argc, char **argv);
