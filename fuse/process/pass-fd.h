/* SPDX-License-Identifier: Apache-2.0 */
/* Passing a descriptor to another process, over a UNIX socket (SCM_RIGHTS). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Returns: 0: descriptors can be passed over *fd*, a UNIX stream or seqpacket socket; or -errno. */
int pass_fd_check(int fd);

/*
 * Sends what there is room for of *n* > 0 bytes, and with the first of them the descriptor
 * *passed*. Does not wait. Takes no memory. Returns: how many bytes, or -errno and nothing was
 * sent.
 */
ssize_t pass_fd_send(int fd, char *text, size_t n, int passed);

/* Receives one byte and a descriptor. Does not wait. Returns: the descriptor, owned; or -errno. */
int pass_fd_receive(int fd);
