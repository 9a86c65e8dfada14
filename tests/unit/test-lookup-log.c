/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/lookup-log.h"

#include "tests/unit/fixture.h"

/*
 * A row: a path, and a letter for each layer from the top: "?" it was not asked, "." absent,
 * "w" whiteout, "f" leaf, "d" directory, "o" opaque, "h" hidden. What is known of the layers below:
 * a path, and "." or "f" or "d" with a layer, counted from the first of those layers. What follows:
 * the same, for all paths that something follows for.
 */
struct known_path {
	const char *path, *results;
};

struct row {
	const char *name;
	struct known_path probes[5];
	size_t known; /* as many layers were asked */
	struct known_path below[4];
	const char *want[4]; /* for the layers from each on, from the topmost */
};

static enum probe_result seen_by(char letter)
{
	switch (letter) {
	case '.': return PROBE_ABSENT;
	case 'w': return PROBE_WHITEOUT;
	case 'f': return PROBE_LEAF;
	case 'd': return PROBE_DIRECTORY;
	case 'o': return PROBE_LAST_DIRECTORY;
	case 'h': return PROBE_HIDDEN;
	default: return PROBE_NOTHING;
	}
}

static void fill(struct lookup_log *log, const struct row *row)
{
	log->layers = strlen(row->probes[0].results);
	for (size_t i = 0; i < ARRAY_SIZE(row->probes) && row->probes[i].path; i++) {
		struct probe *found = lookup_log_probe(log, row->probes[i].path);

		assert_non_null(found);
		for (size_t k = 0; k < log->layers; k++)
			found->results[k] = (uint8_t)seen_by(row->probes[i].results[k]);
		found->leaf.inode = 100 + i;
	}
}

static void fill_below(struct facts *facts, const struct row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(row->below) && row->below[i].path; i++) {
		const char *seen = row->below[i].results;
		struct fact fact = {.kind = FACT_ABSENT};

		if (*seen != '.')
			fact = (struct fact){
				.kind = *seen == 'f' ? FACT_LEAF : FACT_DIRECTORY,
				.layer = (uint32_t)(seen[1] - '0'),
				.stamp.inode = 200 + i,
			};
		assert_int_equal(facts_add(facts, row->below[i].path, &fact), 0);
	}
}

/* In the order in which the paths were log. */
static const char *shown(const struct facts *facts)
{
	static const char kinds[] = ".df";
	static char text[256];
	size_t done = 0;

	text[0] = '\0';
	for (size_t i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		done += (size_t)snprintf(text + done, sizeof(text) - done, "%s%s=%c",
					 i > 0 ? " " : "", facts_path(facts, fact),
					 kinds[fact->kind]);
		if (fact->kind != FACT_ABSENT)
			done += (size_t)snprintf(text + done, sizeof(text) - done, "%u",
						 fact->layer);
		if (fact->kind == FACT_LEAF)
			done += (size_t)snprintf(text + done, sizeof(text) - done, "(%ju)",
						 (uintmax_t)fact->stamp.inode);
	}
	return text;
}

static const struct row rows[] = {
	{"absent everywhere", {{"a", "..."}}, 3, {}, {"a=.", "a=.", "a=."}},
	/* A walk that ended above says nothing of what is below. */
	{"a leaf", {{"a", ".f?"}}, 3, {}, {"a=f1(100)", "a=f0(100)", ""}},
	{"a whiteout", {{"a", ".w?"}}, 3, {}, {"a=.", "a=.", ""}},
	{"a directory", {{"d", ".dd"}}, 3, {}, {"d=d1", "d=d0", "d=d0"}},
	{"a directory of the bottom alone", {{"d", "..d"}}, 3, {}, {"d=d2", "d=d1", "d=d0"}},
	{"an opaque directory", {{"d", "do?"}}, 3, {}, {"d=d0", "d=d0", ""}},
	/* Below a directory a file is one that nobody has looked at: it may be a whiteout. */
	{"something hidden", {{"d", "dh?"}}, 3, {}, {"d=d0", "", ""}},
	{"a layer that failed", {{"a", ".?."}}, 3, {}, {"", "", "a=."}},
	{"in a directory",
	 {{"d", ".d."}, {"d/f", "?f?"}},
	 3,
	 {},
	 {"d=d1 d/f=f1(101)", "d=d0 d/f=f0(101)", "d=."}},
	{"absent from a directory",
	 {{"d", "dd"}, {"d/f", ".."}},
	 2,
	 {},
	 {"d=d0 d/f=.", "d=d0 d/f=."}},
	/* Only the layers that make up the directory were asked, and only they count. */
	{"in a part of a merged directory",
	 {{"d", "d.d"}, {"d/f", ".?f"}},
	 3,
	 {},
	 {"d=d0 d/f=f2(101)", "d=d1 d/f=f1(101)", "d=d0 d/f=f0(101)"}},
	{"below an opaque directory",
	 {{"d", "o??"}, {"d/f", "f??"}},
	 3,
	 {},
	 {"d=d0 d/f=f0(101)", "", ""}},
	/* The opaque directory's own lower layers were not asked, and do not count. */
	{"absent from an opaque directory",
	 {{"d", ".o?"}, {"d/f", "?.?"}},
	 3,
	 {},
	 {"d=d1 d/f=.", "d=d0 d/f=.", ""}},
	{"a directory above a file of the same name",
	 {{"d", "dh"}, {"d/f", "f?"}},
	 2,
	 {},
	 {"d=d0 d/f=f0(101)", ""}},
	{"deep",
	 {{"a", "dd"}, {"a/b", ".d"}, {"a/b/c", "?f"}},
	 2,
	 {},
	 {"a=d0 a/b=d1 a/b/c=f1(102)", "a=d0 a/b=d0 a/b/c=f0(102)"}},
	/* A path whose parents nobody asked for, or that are none. */
	{"without its parent", {{"d/f", ".f"}}, 2, {}, {"", ""}},
	{"below a file", {{"d", "f?"}, {"d/f", "f?"}}, 2, {}, {"d=f0(100)", ""}},
	{"below a whiteout", {{"d", "w?"}, {"d/f", "f?"}}, 2, {}, {"d=.", ""}},
	{"a name that begins like another",
	 {{"ab", ".."}, {"a", "dd"}, {"a/c", ".."}},
	 2,
	 {},
	 {"ab=. a=d0 a/c=.", "ab=. a=d0 a/c=."}},
	/* The last layers were not asked: the index speaks for them. */
	{"absent, and below too", {{"a", ".?"}}, 1, {{"a", "."}}, {"a=."}},
	{"a leaf below", {{"a", "..??"}}, 2, {{"a", "f1"}}, {"a=f3(200)", "a=f2(200)"}},
	{"a leaf above one below", {{"a", ".f??"}}, 2, {{"a", "f1"}}, {"a=f1(100)", "a=f0(100)"}},
	{"a whiteout above one below", {{"a", "w.?"}}, 2, {{"a", "f0"}}, {"a=.", "a=f1(200)"}},
	{"nothing known below", {{"a", ".?"}}, 1, {{"b", "f0"}}, {""}},
	{"a directory above and below",
	 {{"d", ".d?"}, {"d/f", "?.?"}},
	 2,
	 {{"d", "d0"}, {"d/f", "f0"}},
	 {"d=d1 d/f=f2(201)", "d=d0 d/f=f1(201)"}},
	{"a directory of those below alone",
	 {{"d", "..??"}, {"d/f", "????"}},
	 2,
	 {{"d", "d1"}, {"d/f", "f1"}},
	 {"d=d3 d/f=f3(201)", "d=d2 d/f=f2(201)"}},
	{"an opaque directory above one below",
	 {{"d", "o?"}, {"d/f", ".?"}},
	 1,
	 {{"d", "d0"}, {"d/f", "f0"}},
	 {"d=d0 d/f=."}},
	{"a directory above a file below",
	 {{"d", "d?"}, {"d/f", ".?"}},
	 1,
	 {{"d", "f0"}, {"d/f", "f0"}},
	 {"d=d0 d/f=."}},
	{"a directory above nothing below",
	 {{"d", "d?"}, {"d/f", ".?"}},
	 1,
	 {{"d", "."}, {"d/f", "f0"}},
	 {"d=d0 d/f=."}},
	{"a directory above one that is not known",
	 {{"d", "d?"}, {"d/f", "f?"}},
	 1,
	 {{"d/f", "f0"}},
	 {"", ""}},
	/* What a directory holds is not known because it is known that there is one. */
	{"in a directory of which nothing is known below",
	 {{"d", "d?"}, {"d/f", ".?"}, {"d/g", "f?"}},
	 1,
	 {{"d", "d0"}},
	 {"d=d0 d/g=f0(102)"}},
};

static void test_probes_give_the_facts_that_follow(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_with(facts_done) struct facts below = {};
		struct lookup_log log = {};

		fill(&log, &rows[i]);
		fill_below(&below, &rows[i]);
		for (size_t first = 0; first < rows[i].known; first++) {
			cleanup_with(facts_done) struct facts facts = {};
			char name[128];

			snprintf(name, sizeof(name), "%s, from layer %zu on", rows[i].name, first);
			same_int(name,
				 lookup_log_conclude(&log, first, rows[i].known, &below, &facts),
				 0);
			same_str(name, shown(&facts), rows[i].want[first]);
		}
		lookup_log_done(&log);
	}
}

/* What is there already stays as it is, and what has no room is left out. */
static void test_known_facts_are_kept_and_surplus_ones_left_out(void **state)
{
	static const struct row row = {"", {{"a", "."}, {"b", "."}}, 1, {}, {}};
	cleanup_with(facts_done) struct facts facts = {}, below = {};
	struct lookup_log log = {};
	char path[16];

	(void)state;
	fill(&log, &row);
	assert_int_equal(facts_add(&facts, "b", &(struct fact){.kind = FACT_DIRECTORY}), 0);
	assert_int_equal(lookup_log_conclude(&log, 0, 1, &below, &facts), 0);
	assert_string_equal(shown(&facts), "b=d0 a=.");
	facts_done(&facts);
	for (int i = 0; i < FACTS_MAX - 1; i++) {
		snprintf(path, sizeof(path), "%d", i);
		assert_int_equal(facts_add(&facts, path, &(struct fact){.kind = FACT_ABSENT}), 0);
	}
	assert_int_equal(lookup_log_conclude(&log, 0, 1, &below, &facts), 0);
	assert_non_null(facts_find(&facts, "a"));
	assert_null(facts_find(&facts, "b"));
	lookup_log_done(&log);
}

static void test_the_number_of_probed_paths_is_limited(void **state)
{
	struct lookup_log log = {.layers = 3};
	struct probe *first = lookup_log_probe(&log, "0");
	char path[16];

	(void)state;
	assert_non_null(first);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(first->results[i], PROBE_NOTHING);
	for (int i = 1; i < FACTS_MAX; i++) {
		snprintf(path, sizeof(path), "%d", i);
		assert_non_null(lookup_log_probe(&log, path));
	}
	assert_null(lookup_log_probe(&log, "more"));
	assert_ptr_equal(lookup_log_probe(&log, "0"), first);
	assert_int_equal(log.count, FACTS_MAX);
	lookup_log_done(&log);
	assert_int_equal(log.count, 0);
	assert_non_null(lookup_log_probe(&log, "more"));
	lookup_log_done(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probes_give_the_facts_that_follow),
		cmocka_unit_test(test_known_facts_are_kept_and_surplus_ones_left_out),
		cmocka_unit_test(test_the_number_of_probed_paths_is_limited),
	};

	return cmocka_run_group_tests_name("observed", tests, NULL, NULL);
}
