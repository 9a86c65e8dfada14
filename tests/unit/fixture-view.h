/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit tests of the view's modules share besides. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/base/text.h"
#include "fuse/view/view.h"
#include "tests/unit/fixture.h"

/* A list's items with "|" between them. */
static inline const char *joined(const struct strings *list)
{
	static char text[4096];
	char *end = text;

	*end = '\0';
	for (size_t i = 0; i < list->count; i++) {
		assert_true(end + strlen(list->items[i]) + 2 < text + sizeof(text));
		end = stpcpy(stpcpy(end, i > 0 ? "|" : ""), list->items[i]);
	}
	return text;
}

/* Compares an outcome with a code, and the sentence with a part of it where there is one. */
#define same_error(ROW, R, ERROR, CODE, PART)                                              \
	do {                                                                               \
		const struct view_error *error_ = (ERROR);                                 \
                                                                                           \
		if (error_->code != (CODE))                                                \
			fail_msg("%s: %s '%s', not %s", ROW, view_code_name(error_->code), \
				 error_->code == CODE_NONE ? "" : error_->message,         \
				 view_code_name(CODE));                                    \
		same_int(ROW, R, (CODE) == CODE_NONE ? 0 : -ECANCELED);                    \
		if ((CODE) != CODE_NONE)                                                   \
			has_str(ROW, error_->message, PART);                               \
	} while (0)

/* A view of one or two layers, "T" over "B", with *list* as its mount options. */
static inline int make_view(struct view *view, const char *list, const char *binary,
			    const char *initrd, struct view_error *error)
{
	cleanup_with(options_done) struct options options = OPTIONS_INIT;
	cleanup_free char *copy = strdup(list);
	char *const layers[] = {(char *)"T", (char *)"B"};
	struct urunc_config boot = {.binary = (char *)binary, .initrd = (char *)initrd};
	struct source source = SOURCE_INIT;
	struct image image = {.layers = 2};
	size_t bad;

	require_root();
	make_dir("T");
	make_dir("B");
	assert_non_null(copy);
	same_int(list, options_parse(&options, copy, error), 0);
	same_int("stack",
		 li_stack_open(layers, 2, options.overlay.userxattr ? LI_STACK_USERXATTR : 0, NULL,
			       &image.stack, &bad),
		 0);
	source.uids = TAKE(options.overlay.uids, ((struct idmap){}));
	source.gids = TAKE(options.overlay.gids, ((struct idmap){}));
	return view_init(view, &options, &source, &image, &boot, error);
}
