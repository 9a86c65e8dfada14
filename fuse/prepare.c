/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/prepare.h"

#include <errno.h>

#include "fuse/boot.h"

int view_prepare(const struct options *options, struct source *source, struct view *ret,
		 struct view_error *error)
{
	cleanup_with(boot_done) struct boot boot = {};
	cleanup_with(config_file_done) struct config_file config = CONFIG_FILE_INIT;
	struct li_stack *stack = NULL;

	if (source_open(source, &stack, error) < 0)
		return -ECANCELED;
	if (boot_read(options, source->annotations, stack, &boot, &config, error) < 0) {
		li_stack_close(stack);
		return -ECANCELED;
	}
	if (view_init(ret, options, source, stack, &boot, error) < 0)
		return -ECANCELED;
	return view_take_config(ret, &config, error);
}
