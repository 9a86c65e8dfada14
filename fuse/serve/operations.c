/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel may cache every answer without limit, absence too. libfuse answers requests that have
 * no operation here (getxattr, lseek, flush, ...) with ENOSYS, and the kernel stops asking.
 *
 * Attributes are answered in the kernel's own form: libfuse's functions take a struct stat, which
 * on 32-bit machines is another one in a libfuse that was built without 64-bit times.
 */
#include "fuse/serve/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/ioctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fuse/base/fuse-kernel.h"
#include "fuse/live/view-answer.h"
#include "fuse/serve/artifact-open.h"
#include "fuse/serve/passthrough.h"

/* Seconds. The kernel cuts it to what its clock can hold. */
#define FOREVER UINT64_C(1000000000000000)

static struct artifact_opener *the_opener(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct view *the_view(fuse_req_t req)
{
	return the_opener(req)->view;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* Of what libfuse would like the kernel is told nothing: passthrough_negotiate(). */
	conn->want &=
		~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static struct fuse_attr attr_of(const struct view *view, uint32_t node)
{
	struct stat st = view_attributes(view, node);

	return (struct fuse_attr){
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.atime = (uint64_t)st.st_atim.tv_sec,
		.mtime = (uint64_t)st.st_mtim.tv_sec,
		.ctime = (uint64_t)st.st_ctim.tv_sec,
		.atimensec = (uint32_t)st.st_atim.tv_nsec,
		.mtimensec = (uint32_t)st.st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st.st_ctim.tv_nsec,
		.mode = st.st_mode,
		.nlink = (uint32_t)st.st_nlink,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.blksize = (uint32_t)st.st_blksize,
	};
}

static struct fuse_entry_out entry_of(const struct view *view, uint32_t node)
{
	struct fuse_entry_out entry = {
		.nodeid = node,
		.attr_valid = FOREVER,
		.entry_valid = FOREVER,
	};

	if (node)
		entry.attr = attr_of(view, node);
	return entry;
}

/* Makes sure that a node can be shown. Returns: 0, or -errno of artifact_ensure_open(). */
static int node_want(struct artifact_opener *opener, uint32_t node)
{
	struct artifact *artifact = opener->view->nodes[node].artifact;

	return artifact ? artifact_ensure_open(opener, artifact) : 0;
}

/* Valid replies: fuse_reply_entry (here its bytes), fuse_reply_err. */
static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view *view = the_view(req);
	uint32_t node = view_lookup(view, (uint32_t)parent, name);
	struct fuse_entry_out entry;
	int r = node ? node_want(the_opener(req), node) : -ENOENT;

	if (r < 0 && r != -ENOENT) {
		fuse_reply_err(req, -r);
		return;
	}
	/* Node 0 is a name that is not there, and never will be. */
	entry = entry_of(view, r < 0 ? 0 : node);
	fuse_reply_buf(req, (const char *)&entry, sizeof(entry));
}

/* Valid replies: fuse_reply_attr (here its bytes), fuse_reply_err. */
static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *view = the_view(req);
	struct fuse_attr_out out = {.attr_valid = FOREVER, .attr = attr_of(view, (uint32_t)ino)};

	(void)fi;
	fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* Valid replies: fuse_reply_open (or passthrough_reply_open()), fuse_reply_err. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct artifact *artifact = the_view(req)->nodes[ino].artifact;
	int r;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		fuse_reply_err(req, EROFS);
		return;
	}
	r = artifact ? artifact_ensure_open(the_opener(req), artifact) : -EISDIR;
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	if (artifact->reading == READ_PASSTHROUGH) {
		passthrough_reply_open(req, artifact->backing_id);
		return;
	}
	fi->keep_cache = artifact->reading == READ_CACHED;
	fi->direct_io = artifact->reading == READ_DIRECT;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

/* One buffer for all requests, which come one after another; what is never read costs nothing. */
static void *read_buffer(void)
{
	static void *buffer;

	if (!buffer) {
		void *memory = mmap(NULL, READ_MAX, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		buffer = memory == MAP_FAILED ? NULL : memory;
	}
	return buffer;
}

/*
 * Valid replies: fuse_reply_buf, fuse_reply_iov, fuse_reply_data, fuse_reply_err. Of a file that is
 * passed through only readahead(2) and fadvise(2) get here, and need nothing.
 */
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	const struct artifact *artifact = the_view(req)->nodes[ino].artifact;
	char *buffer = read_buffer();
	size_t done = 0;
	ssize_t n = 0;

	(void)fi;
	if (!buffer || !artifact || artifact->fd < 0) {
		fuse_reply_err(req, buffer ? EIO : ENOMEM);
		return;
	}
	/* A short answer is the end of the file: never where the layer's file goes on. */
	while (done < size && done < READ_MAX) {
		size_t want = size < READ_MAX ? size : READ_MAX;

		n = pread(artifact->fd, buffer + done, want - done, offset + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buffer, done);
}

/* Valid replies: fuse_reply_open, fuse_reply_err. */
static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	/* The kernel opens directories itself from now on, and keeps what it listed. */
	fuse_reply_err(req, ENOSYS);
}

/* A directory being listed into one reply. */
struct listing {
	fuse_req_t req;
	bool plus;
	char bytes[2048];
	size_t size, capacity;
};

/* Returns: false when the reply is full. */
static bool list_entry(struct listing *listing, const char *name, uint32_t node,
		       const struct fuse_entry_out *entry, off_t next)
{
	struct fuse_dirent dirent = {
		.ino = node,
		.off = (uint64_t)next,
		.namelen = (uint32_t)strlen(name),
		.type = (entry->attr.mode & S_IFMT) >> 12,
	};
	size_t head = listing->plus ? sizeof(*entry) : 0;
	size_t n = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dirent.namelen);
	char *at = listing->bytes + listing->size;

	if (n > listing->capacity - listing->size)
		return false;
	memset(at, 0, n);
	memcpy(at, entry, head);
	memcpy(at + head, &dirent, FUSE_NAME_OFFSET);
	memcpy(at + head + FUSE_NAME_OFFSET, name, dirent.namelen);
	listing->size += n;
	return true;
}

/* "." and "..", which must not be looked up by a listing: their node is 0 in the entry itself. */
static bool list_dots(struct listing *listing, const struct view *view, uint32_t node, off_t offset)
{
	struct fuse_entry_out entry = {.attr = {.mode = S_IFDIR}};

	entry.attr.ino = node;
	if (offset < 1 && !list_entry(listing, ".", node, &entry, 1))
		return false;
	entry.attr.ino = view->nodes[node].parent;
	return offset >= 2 || list_entry(listing, "..", view->nodes[node].parent, &entry, 2);
}

/* Offsets: 1 after ".", 2 after "..", a node's id + 1 after the node. */
static int list_children(struct listing *listing, struct artifact_opener *opener, uint32_t parent,
			 off_t offset)
{
	const struct view *view = opener->view;
	char name[LI_NAME_MAX + 1];

	for (uint32_t i = VIEW_ROOT + 1; i < view->node_count; i++) {
		const struct node *node = &view->nodes[i];
		struct fuse_entry_out entry;
		int r;

		if (node->parent != parent || i < offset)
			continue;
		r = node_want(opener, i);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		if (node->length > LI_NAME_MAX)
			continue;
		memcpy(name, node->name, node->length);
		name[node->length] = '\0';
		entry = entry_of(view, i);
		if (!list_entry(listing, name, i, &entry, (off_t)i + 1))
			break;
	}
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	struct view *view = the_view(req);
	struct listing listing = {.req = req, .plus = plus};
	int r = 0;

	listing.capacity = size < sizeof(listing.bytes) ? size : sizeof(listing.bytes);
	if (list_dots(&listing, view, (uint32_t)ino, offset))
		r = list_children(&listing, the_opener(req), (uint32_t)ino, offset);
	if (r < 0 && listing.size == 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, listing.bytes, listing.size);
}

/* Valid replies: fuse_reply_buf, fuse_reply_data, fuse_reply_err. */
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

/* Valid replies: fuse_reply_buf, fuse_reply_data, fuse_reply_err. */
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

/* Valid replies: fuse_reply_statfs, fuse_reply_err. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	/* No blocks and no files: a filesystem without any is never a full disk. */
	struct statvfs st = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_flag = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC,
		.f_namemax = LI_NAME_MAX,
	};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

bool operation_changes(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_SETATTR:
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_RENAME:
	case FUSE_LINK:
	case FUSE_WRITE:
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_CREATE:
	case FUSE_FALLOCATE:
	case FUSE_RENAME2:
	case FUSE_COPY_FILE_RANGE:
	case OPCODE_TMPFILE: return true;
	default: return false;
	}
}

/*
 * The one request of ours: what the view is (fuse/live/view-answer.h). Valid replies:
 * fuse_reply_ioctl, fuse_reply_err.
 */
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
		     size_t out_size)
{
	struct artifact_opener *opener = the_opener(req);
	struct view_facts *facts = opener->facts;
	uid_t user = fuse_req_ctx(req)->uid;
	cleanup_free char *answer = NULL;
	size_t length;

	(void)ino, (void)arg, (void)fi, (void)flags, (void)in, (void)in_size;
	/* The size is a part of the number, and what the asking program was built with. */
	if (_IOC_TYPE(command) != _IOC_TYPE(VIEW_IOC_TELL) ||
	    _IOC_NR(command) != _IOC_NR(VIEW_IOC_TELL) || !facts) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (user != 0 && user != facts->owner) {
		fuse_reply_err(req, EACCES);
		return;
	}
	facts->passthrough = artifacts_pass_through(opener);
	if (facts->standby)
		facts->survives = standby_is_there(facts->standby);
	answer = report_answer(facts);
	if (!answer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	length = strlen(answer);
	length = length < out_size ? length : out_size;
	fuse_reply_ioctl(req, (int)length, answer, length);
}

const struct fuse_lowlevel_ops view_operations = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.ioctl = op_ioctl,
};
