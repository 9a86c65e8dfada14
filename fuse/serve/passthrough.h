/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE passthrough (Linux 6.9 and newer): the kernel reads an artifact's file itself. The same code
 * serves every libfuse from 3.14 on, most of which know nothing of it: what is theirs to send is
 * changed or sent here, in the kernel's own terms.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <fuse_lowlevel.h>

#include "fuse/base/fuse-kernel.h"

/* Bytes: the most that the kernel is told to ask for in one READ, or to send in one WRITE. */
enum { READ_MAX = 1 << 20 };

/* What came of the wishes. */
struct negotiated {
	bool passthrough; /* offered and accepted; whether this process may use it is not known */
	bool resend;	  /* the kernel can send requests again that a process left unanswered */
};

/* What is asked of the kernel. */
struct wishes {
	bool passthrough;
	/* Layers lie on overlayfs or FUSE: the view may then be no layer of an overlay itself. */
	bool stacked;
	/* The mount may be idmapped (Linux 6.12). The kernel does not tell who asks then. */
	bool idmap;
};

/*
 * The answer to the kernel's first request, *size* bytes at *init* without its header: the same as
 * libfuse's, and with what not every libfuse knows: the wishes, and that files read past the cache
 * can be mapped.
 * Returns: 0, or -EPROTO: the kernel is older than any that views run on.
 */
int passthrough_negotiate(const void *init, size_t size, const struct wishes *wishes,
			  struct init_out *ret_answer, struct negotiated *ret);

/* Whether this process may register files: CAP_SYS_ADMIN in the initial user namespace. */
bool passthrough_is_allowed(int connection);

/*
 * Has the kernel serve an artifact from *fd* from now on, for as long as the connection lives; *fd*
 * may be closed then. Registered before the process restricts itself: the kernel keeps its
 * credentials.
 * Returns: the file's id, > 0; -EPERM, -ELOOP (stacked too deeply), -EOPNOTSUPP, ...
 */
int passthrough_register(int connection, int fd);

/* Answers an open: reads go to the file registered as *id*. */
void passthrough_reply_open(fuse_req_t req, int id);
