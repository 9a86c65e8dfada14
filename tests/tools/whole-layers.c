/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/whole-layers.h"

int whole_layer(struct apply *apply, struct tar *tar, whole_content content, void *context)
{
	struct tar_entry entry;
	int r;

	for (apply_begin_layer(apply);; apply->entry++) {
		apply->reason = "it is cut, or is no tar archive";
		r = tar_next(tar, &entry);
		if (r <= 0)
			return r < 0 ? r : apply_end_layer(apply);
		r = apply_entry(apply, &entry);
		if (r == 0 && entry.type == '0' && content)
			r = content(context, tar, apply->layers - 1, apply->entry);
		if (r < 0)
			return r;
	}
}

int whole_table(struct apply *apply, struct toc *toc, whole_range range, void *context)
{
	struct toc_range at;
	struct tar_entry entry;
	int r;

	for (apply_begin_layer(apply);; apply->entry++) {
		apply->reason = "its table of contents is unusable";
		r = toc_next(toc, &entry, &at);
		if (r <= 0)
			return r < 0 ? r : apply_end_layer(apply);
		r = apply_entry(apply, &entry);
		if (r == 0 && at.offset > 0)
			r = range(context, apply->layers - 1, apply->entry, &at);
		if (r < 0)
			return r;
	}
}
