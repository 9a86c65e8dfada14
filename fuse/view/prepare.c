/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/prepare.h"

#include <errno.h>

#include "fuse/view/index-policy.h"
#include "fuse/view/urunc-config.h"

static void close_index(struct li_index **index)
{
	li_index_close(*index);
}
DEFINE_CLEANUP(struct li_index *, close_index)

int view_prepare(const struct options *options, struct source *source, bool make_index,
		 struct view *ret, struct view_error *error)
{
	cleanup_with(urunc_config_done) struct urunc_config boot = {};
	cleanup_with(config_file_done) struct config_file config = CONFIG_FILE_INIT;
	cleanup_with(close_index) struct li_index *index = NULL;
	struct li_stack *stack = NULL;

	if (index_policy_open(options, source, make_index, &index, error) < 0 ||
	    source_open(source, index, options->cache ? 0 : LI_STACK_INDEX_OWN, &stack, error) < 0)
		return -ECANCELED;
	index_policy_report(stack);
	if (urunc_config_read(options, source->annotations, stack, &boot, &config, error) < 0) {
		li_stack_close(stack);
		return -ECANCELED;
	}
	if (view_init(ret, options, source, stack, &boot, error) < 0)
		return -ECANCELED;
	ret->index = TAKE_PTR(index);
	return view_take_config(ret, &config, error);
}
