/* SPDX-License-Identifier: Apache-2.0 */
/* The output of a program on stdout. */
#pragma once

/*
 * Writes what stdio still holds of stdout: the last thing before a program ends that has printed
 * an answer. Returns: the exit *status*, or where that is 0 and the answer could not be written
 * (a full disk), after saying so, that of ESYSTEM.
 */
int output_finish(int status);

/*
 * Before anything is printed: keeps all that --help prints until it is written at once, so that
 * output_finish() can say why that failed.
 */
void output_hold(void);
