/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/io.h"
#include "fuse/base/json.h"

#include "tests/unit/fixture.h"

/* What is there is in memory of exactly its size, so that a read beyond it is found. */
static int parse(const char *text, size_t n, struct json_fault *fault)
{
	struct json_object *object = NULL;
	char *copy = malloc(n + 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	copy[n] = '\0';
	r = json_parse(copy, n, &object, fault);
	free(copy);
	json_object_put(object);
	return r;
}

static void test_only_strict_json_is_parsed(void **state)
{
	static const struct {
		const char *text;
		int r;
	} rows[] = {
		{"{}", 0},
		{"[]", 0},
		{"null", 0},
		{"true", 0},
		{"\"text\"", 0},
		{"12", 0}, /* complete only at the end */
		{" \t\r\n{\"a\": [1, -2.5e3, null, \"\\u00fc\"]} \n", 0},
		{"{\"a\":1,\"a\":2}", 0},
		{"", -EINVAL},
		{" ", -EINVAL},
		{"{}{}", -EINVAL},
		{"{} x", -EINVAL},
		{"12 13", -EINVAL},
		{"[1,]", -EINVAL},
		{"[,1]", -EINVAL},
		{"{\"a\":1,}", -EINVAL},
		{"{\"a\"}", -EINVAL},
		{"{a:1}", -EINVAL},
		{"{'a':1}", -EINVAL},
		{"['a']", -EINVAL},
		{"// no\n{}", -EINVAL},
		{"/* no */ {}", -EINVAL},
		{"{} // no", -EINVAL},
		{"[1 /* no */]", -EINVAL},
		{"TRUE", -EINVAL},
		{"nul", -EINVAL},
		{"NaN", -EINVAL},
		{"[Infinity]", -EINVAL},
		{"-Infinity", -EINVAL},
		/* Control characters in a string, and what looks like the above. */
		{"[\"a\nb\"]", -EINVAL},
		{"[\"a\x1f\"]", -EINVAL},
		{"[\"a\\\n\"]", -EINVAL},
		{"[\"\\\"'NaN\\\\\", \"'\"]", 0},
		{"\"\\x41\"", -EINVAL},
		/* json-c would end a key there. */
		{"{\"a\\u0000b\" : 1}", -EINVAL},
		{"{\"\\u0000\":1}", -EINVAL},
		{"{\"a\\\\u0000\":\"\\u0000\"}", 0},
		/* Beyond ASCII, valid or not: as strict around it, and in a string like any. */
		{"{\"grüß\": [\"\xff\"]} ", 0},
		{"{\"grüß\": [\"\xff\",]}", -EINVAL},
		{"[\"ü\"] x", -EINVAL},
		{"[\"ü\", TRUE]", -EINVAL},
		{"[\"ü\", 'a']", -EINVAL},
		{"[\"ü\x1f\"]", -EINVAL},
		{"[ü]", -EINVAL},
		{"[\"ü\"]ü", -EINVAL},
		{"\xef\xbb\xbf[]", -EINVAL},
		{"]", -EINVAL},
		{"[}", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json_fault fault = {};

		same_int(rows[i].text, parse(rows[i].text, strlen(rows[i].text), &fault),
			 rows[i].r);
		same_int(rows[i].text, fault.reason != NULL, rows[i].r < 0);
		same_int(rows[i].text, fault.at <= strlen(rows[i].text), true);
	}
}

/* Bytes beyond ASCII come out as they went in. */
static void test_bytes_beyond_ascii_are_kept(void **state)
{
	static const char text[] = "{\"grüß\": \"\\u00fc ü \xff\"}";
	cleanup_with(json_done) struct json_object *object = NULL;
	struct json_fault fault;

	(void)state;
	assert_int_equal(json_parse(text, sizeof(text) - 1, &object, &fault), 0);
	assert_string_equal(json_string(object, "grüß"), "ü ü \xff");
}

/* No beginning of a text is taken for the whole. */
static void test_a_truncated_text_is_rejected(void **state)
{
	static const char sample[] = "{\"Mounts\": [{\"Type\": \"overlay\", \"n\": -1.5e3, \"b\": "
				     "true, \"Options\": [\"lowerdir=/a\\u00fc\\\\,\", null]}]}";
	struct json_fault fault;

	(void)state;
	for (size_t n = 0; n < strlen(sample); n++)
		same_int(sample + n, parse(sample, n, &fault), -EINVAL);
	assert_int_equal(parse(sample, strlen(sample), &fault), 0);
}

/* json-c would take a NUL for the end. */
static void test_a_nul_byte_is_rejected(void **state)
{
	static const char after[] = "{}\0{}", inside[] = "{\"a\": \"b\0c\"}", before[] = "\0{}";
	struct json_fault fault;

	(void)state;
	assert_int_equal(parse(after, sizeof(after) - 1, &fault), -EINVAL);
	assert_int_equal(fault.at, 2);
	assert_int_equal(parse(inside, sizeof(inside) - 1, &fault), -EINVAL);
	assert_int_equal(parse(before, sizeof(before) - 1, &fault), -EINVAL);
	assert_int_equal(fault.at, 0);
	assert_int_equal(parse("{}", 3, &fault), -EINVAL);
}

static int parse_nested(size_t depth, const char *open, const char *close)
{
	char text[1024];
	char *end = text;
	struct json_fault fault;

	for (size_t i = 0; i < depth; i++)
		end = stpcpy(end, open);
	end = stpcpy(end, "1");
	for (size_t i = 0; i < depth; i++)
		end = stpcpy(end, close);
	return parse(text, (size_t)(end - text), &fault);
}

static void test_the_depth_is_limited(void **state)
{
	(void)state;
	/* A value in the deepest of them is a level of its own. */
	assert_int_equal(parse_nested(JSON_DEPTH_MAX - 1, "[", "]"), 0);
	assert_int_equal(parse_nested(JSON_DEPTH_MAX, "[", "]"), -EINVAL);
	assert_int_equal(parse_nested(JSON_DEPTH_MAX - 1, "{\"a\":", "}"), 0);
	assert_int_equal(parse_nested(JSON_DEPTH_MAX, "{\"a\":", "}"), -EINVAL);
	assert_int_equal(parse_nested(500, "[", "]"), -EINVAL);
}

/* "[{},{},...]", an array with *n* objects in it. */
static int parse_many(size_t n, struct json_fault *fault)
{
	char *text = calloc(n, strlen("{},") + 1);
	char *end = text;
	int r;

	assert_non_null(text);
	*end++ = '[';
	for (size_t i = 0; i < n; i++)
		end = stpcpy(end, i + 1 < n ? "{}," : "{}");
	*end++ = ']';
	r = parse(text, (size_t)(end - text), fault);
	free(text);
	return r;
}

/* Each costs far more memory than text. A comma counts as much as what it is followed by. */
static void test_the_number_of_values_is_limited(void **state)
{
	struct json_fault fault = {};

	(void)state;
	assert_int_equal(parse_many(JSON_VALUES_MAX / 2, &fault), 0);
	assert_int_equal(parse_many(JSON_VALUES_MAX / 2 + 1, &fault), -EINVAL);
	assert_string_equal(fault.reason, "too many values");
}

static void test_only_a_string_is_taken_for_one(void **state)
{
	static const char text[] = "{\"a\": \"text\", \"b\": 1, \"c\": null, \"d\": \"\"}";
	cleanup_with(json_done) struct json_object *object = NULL;
	struct json_fault fault;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &object, &fault), 0);
	assert_string_equal(json_string(object, "a"), "text");
	assert_string_equal(json_string(object, "d"), "");
	assert_null(json_string(object, "b"));
	assert_null(json_string(object, "c"));
	assert_null(json_string(object, "missing"));
	/* A key matches exactly. */
	assert_null(json_string(object, "A"));
	assert_null(json_string(NULL, "a"));
}

static void test_a_file_is_read_whole_up_to_its_limit(void **state)
{
	static const size_t sizes[] = {0, 1, 4094, 4095, 4096, 9999, 10000, 10001, 50000};
	static char bytes[50000];

	(void)state;
	memset(bytes, 'b', sizeof(bytes));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_free char *text = NULL;
		cleanup_close int fd = -EBADF;
		size_t n = 0;
		int r;

		make_bytes("f", bytes, sizes[i]);
		fd = open("f", O_RDONLY | O_CLOEXEC);
		r = read_all(fd, 10000, &text, &n);
		same_int("10000 bytes at most", r, sizes[i] <= 10000 ? 0 : -EFBIG);
		if (r < 0)
			continue;
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(text, bytes, n);
		assert_int_equal(text[n], '\0');
	}
}

/* Whatever its size claims to be: /proc says 0, and /dev/zero never ends. */
static void test_a_file_is_read_whatever_size_it_claims(void **state)
{
	cleanup_close int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	cleanup_close int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	cleanup_close int directory = open("/", O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(read_all(status, 100000, &text, &n), 0);
	assert_true(n > 0);
	assert_int_equal(read_all(zero, 100000, &text, &n), -EFBIG);
	assert_int_equal(read_all(directory, 100000, &text, &n), -EISDIR);
	assert_int_equal(read_all(-1, 100000, &text, &n), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_strict_json_is_parsed),
		cmocka_unit_test(test_bytes_beyond_ascii_are_kept),
		cmocka_unit_test(test_a_truncated_text_is_rejected),
		cmocka_unit_test(test_a_nul_byte_is_rejected),
		cmocka_unit_test(test_the_depth_is_limited),
		cmocka_unit_test(test_the_number_of_values_is_limited),
		cmocka_unit_test(test_only_a_string_is_taken_for_one),
		scratch_test(test_a_file_is_read_whole_up_to_its_limit),
		cmocka_unit_test(test_a_file_is_read_whatever_size_it_claims),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
