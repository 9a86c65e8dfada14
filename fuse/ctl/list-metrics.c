/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics in the text format of Prometheus, for the textfile collector of node_exporter:
 * https://prometheus.io/docs/instrumenting/exposition_formats/. They are sums: a series for each
 * view would be a new one for each container.
 */
#include <inttypes.h>
#include <stdio.h>

#include "fuse/ctl/list-row.h"
#include "fuse/process/sandbox.h"

enum sandbox_known { SANDBOX_NONE_YET, SANDBOX_PARTIAL, SANDBOX_FULL, SANDBOX_UNKNOWN };

struct sums {
	uint64_t states[VIEW_STATES], passthrough[PASSTHROUGH_YES + 1],
		sandbox[SANDBOX_UNKNOWN + 1];
	uint64_t missing, private_dirty;
};

static enum sandbox_known sandbox_of(const struct view_answer *answer)
{
	if (!answer->ready)
		return SANDBOX_UNKNOWN;
	if (!answer->sandboxed)
		return SANDBOX_NONE_YET;
	return answer->sandboxed == SANDBOX_ALL ? SANDBOX_FULL : SANDBOX_PARTIAL;
}

static void add_up(struct sums *sums, const struct listed_view *view)
{
	struct list_row row = list_row(view, true);

	sums->states[view->state]++;
	sums->passthrough[row.passthrough]++;
	sums->sandbox[sandbox_of(&view->answer)]++;
	sums->missing += row.missing ? json_object_array_length(row.missing) : 0;
	sums->private_dirty += row.private_dirty;
}

static void print_head(const char *name, const char *help)
{
	printf("# HELP urunc_viewfs_%s %s\n# TYPE urunc_viewfs_%s gauge\n", name, help, name);
}

/* A metric with one label. */
static void print_series(const char *name, const char *help, const char *label,
			 const char *const *values, const uint64_t *numbers, size_t n)
{
	print_head(name, help);
	for (size_t i = 0; i < n; i++)
		printf("urunc_viewfs_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, values[i],
		       numbers[i]);
}

static void print_sum(const char *name, const char *help, uint64_t number)
{
	print_head(name, help);
	printf("urunc_viewfs_%s %" PRIu64 "\n", name, number);
}

void list_print_metrics(const struct views *views)
{
	static const char *const states[] = {"alive", "not_answering", "dead", "unknown"};
	static const char *const passthrough[] = {"unknown", "no", "yes"};
	static const char *const sandbox[] = {"not_yet", "partial", "full", "unknown"};
	struct sums sums = {};

	for (size_t i = 0; i < views->count; i++)
		/* A view that is mounted in several places is counted once. */
		if (!views->items[i].repeated)
			add_up(&sums, &views->items[i]);
	print_series("views", "Views by state.", "state", states, sums.states, VIEW_STATES);
	print_series("passthrough_views", "Views by whether the kernel reads their files itself.",
		     "passthrough", passthrough, sums.passthrough, PASSTHROUGH_YES + 1);
	print_series("sandbox_views", "Views by how much of their sandbox is in force.", "sandbox",
		     sandbox, sums.sandbox, SANDBOX_UNKNOWN + 1);
	print_sum("missing_artifacts", "Artifacts that images name and do not hold.", sums.missing);
	print_sum("private_dirty_bytes", "Private, written memory of the views' processes.",
		  sums.private_dirty);
}
