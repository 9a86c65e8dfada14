/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/ready-line.h"

#include <limits.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/live/view-answer.h"
#include "fuse/process/sandbox.h"
#include "tests/unit/fixture-view.h"

static struct json_object *parsed(const char *line)
{
	struct json_object *object = NULL;
	struct json_fault fault;

	assert_non_null(line);
	assert_null(strchr(line, '\n'));
	same_int(line, json_parse(line, strlen(line), &object, &fault), 0);
	return object;
}

static struct json_object *member(struct json_object *object, const char *key)
{
	return json_object_object_get(object, key);
}

static void test_a_ready_line_lists_the_ready_artifacts(void **state)
{
	struct view view = {
		.image.layers = 20,
		.artifact_count = 3,
		.artifacts = {{.path = (char *)"/urunc.json",
			       .roles = ROLE_CONFIG,
			       .state = ARTIFACT_MISSING},
			      {.path = (char *)"/unikernel/kernel",
			       .roles = ROLE_BINARY | ROLE_INITRD,
			       .state = ARTIFACT_READY,
			       .layer = 3,
			       .origin = (char *)"/l/3/\xff\n",
			       .st.st_size = (off_t)5 << 32},
			      {.path = (char *)"/x", .state = ARTIFACT_MISSING}},
	};
	const struct view_facts facts = {
		.view = &view,
		.id = "web-1",
		.mountpoint = "/run/v\x1b",
		.passthrough = true,
		.elapsed_us = 812,
		.connection = 39,
	};
	cleanup_free char *line = report_ready_line(&facts);
	cleanup_with(json_done) struct json_object *object = parsed(line);
	struct json_object *artifacts = member(object, "artifacts");
	struct json_object *artifact;

	(void)state;
	assert_true(json_object_get_boolean(member(object, "ready")));
	assert_string_equal(json_string(object, "id"), "web-1");
	assert_string_equal(json_string(object, "mountpoint"), "/run/v\\033");
	assert_true(json_object_get_boolean(member(object, "passthrough")));
	assert_int_equal(json_object_get_int(member(object, "elapsed_us")), 812);
	/* What is resolved, and nothing else. */
	assert_int_equal(json_object_array_length(artifacts), 1);
	artifact = json_object_array_get_idx(artifacts, 0);
	assert_string_equal(json_string(artifact, "role"), "binary+initrd");
	assert_string_equal(json_string(artifact, "path"), "/unikernel/kernel");
	assert_int_equal(json_object_get_int(member(artifact, "layer")), 3);
	assert_string_equal(json_string(artifact, "origin"), "/l/3/\\377\\012");
	assert_true(json_object_get_int64(member(artifact, "size")) == (int64_t)5 << 32);
}

/* A lazy view has no artifacts yet, and a view need not have an id. */
static void test_a_lazy_ready_line_has_no_artifacts(void **state)
{
	struct view view = {
		.image.layers = 2,
		.artifact_count = 1,
		.artifacts = {{.path = (char *)"/urunc.json"}},
	};
	const struct view_facts facts = {
		.view = &view, .mountpoint = "/run/v", .elapsed_us = 1, .connection = 3};
	cleanup_free char *line = report_ready_line(&facts);

	(void)state;
	assert_non_null(line);
	assert_string_equal(line, "{\"ready\":true,\"mountpoint\":\"/run/v\","
				  "\"passthrough\":false,\"elapsed_us\":1,"
				  "\"image\":{\"layers\":2},\"connection\":3}");
}

static void test_a_stored_image_has_a_chain_and_no_layers(void **state)
{
	struct view view = {
		.image.key = {.id = {{0xab, 0xcd}}},
		.artifact_count = 1,
		.artifacts = {{.path = (char *)"/k",
			       .roles = ROLE_BINARY,
			       .state = ARTIFACT_READY,
			       .origin = (char *)"/s/objects/12/1234"}},
	};
	const struct view_facts facts = {.view = &view, .mountpoint = "/run/v"};
	cleanup_free char *line = report_ready_line(&facts);
	cleanup_with(json_done) struct json_object *object = parsed(line);
	struct json_object *image = member(object, "image");
	struct json_object *artifact = json_object_array_get_idx(member(object, "artifacts"), 0);

	(void)state;
	has_str("chain", json_string(image, "chain"), "sha256:abcd0000");
	assert_null(member(image, "layers"));
	assert_null(member(artifact, "layer"));
	assert_string_equal(json_string(artifact, "origin"), "/s/objects/12/1234");
}

/* A name of *n* bytes that take the most room. */
static char *long_name(size_t n)
{
	char *name = malloc(n + 1);

	assert_non_null(name);
	memset(name, '\n', n);
	name[0] = '/';
	name[n] = '\0';
	return name;
}

/* However long the image's names are, the answer is whole JSON of a bounded size. */
static void test_an_answer_with_long_names_is_cut_and_says_so(void **state)
{
	static const size_t lengths[] = {2, 100, 400, 1000, 4095, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		cleanup_free char *name = long_name(lengths[i]);
		cleanup_free char *id = long_name(lengths[i] < 255 ? lengths[i] : 255);
		struct view view = {.image.layers = 4096, .artifact_count = 3};
		struct view_facts facts = {
			.view = &view,
			.id = id,
			.mountpoint = name,
			.passthrough = true,
			.elapsed_us = UINT64_MAX,
			.connection = UINT32_MAX,
			.version = "0.1.0",
			.pid = INT_MAX,
			.sandboxed = SANDBOX_ALL,
		};
		cleanup_with(view_answer_done) struct view_answer answer = {};
		cleanup_free char *text = NULL, *line = NULL;
		struct json_object *array;

		memset(facts.fingerprint, 'f', sizeof(facts.fingerprint) - 1);
		for (size_t j = 0; j < 3; j++)
			view.artifacts[j] = (struct artifact){.path = name,
							      .origin = name,
							      .roles = ROLE_BINARY | ROLE_INITRD,
							      .layer = 4095,
							      .st.st_size = INT64_MAX,
							      .state = ARTIFACT_READY};
		view.artifacts[2].state = ARTIFACT_MISSING;
		text = report_answer(&facts);
		assert_non_null(text);
		assert_true(strlen(text) < VIEW_ANSWER_MAX);
		same_int(text, view_answer_parse(text, strlen(text), &answer), 0);
		assert_true(answer.cut == (lengths[i] > 255));
		assert_int_equal(answer.sandboxed, SANDBOX_ALL);
		assert_int_equal(answer.pid, INT_MAX);
		assert_string_equal(answer.version, "0.1.0");
		assert_string_equal(answer.fingerprint, facts.fingerprint);
		/* What a view is looked for by is never cut. */
		assert_int_equal(strlen(json_string(answer.ready, "id")), 4 * strlen(id) - 3);
		array = member(answer.ready, "artifacts");
		assert_int_equal(json_object_array_length(array), 2);
		array = member(answer.ready, "missing");
		assert_int_equal(json_object_array_length(array), 1);
		/* The ready line itself is not cut, but for origins, and fits into a report. */
		line = report_ready_line(&facts);
		assert_non_null(line);
		assert_true(lengths[i] > 4095 || strlen(line) < sizeof(((struct report *)0)->text));
		if (!answer.cut) {
			cleanup_free char *again = json_line(answer.ready);

			assert_string_equal(again, line);
		}
	}
}

static void test_an_answer_has_the_fingerprint_that_nothing_asked_for_before(void **state)
{
	struct options options = OPTIONS_INIT;
	struct view view = {.image.key.id.bytes = {1}};
	struct view_facts facts = {.view = &view, .version = "0.1.0", .options = &options};
	char fingerprint[FINGERPRINT_SIZE];
	cleanup_free char *text = NULL;

	(void)state;
	view_fingerprint(&view, &options, fingerprint);
	text = report_answer(&facts);
	assert_non_null(text);
	assert_non_null(strstr(text, fingerprint));
}

/* A path is never longer than PATH_MAX; what many links lead to is, and is not told whole. */
static void test_a_ready_line_holds_a_part_of_an_endless_origin(void **state)
{
	cleanup_free char *path = long_name(4095);
	cleanup_free char *origin = long_name(200000);
	struct view view = {.artifact_count = 3};
	struct view_facts facts = {.view = &view, .mountpoint = path};
	cleanup_free char *line = NULL;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		view.artifacts[i] = (struct artifact){.path = path,
						      .origin = origin,
						      .roles = ROLE_BINARY,
						      .state = ARTIFACT_READY};
	line = report_ready_line(&facts);
	assert_non_null(line);
	assert_true(strlen(line) < sizeof(((struct report *)0)->text));
}

static void test_a_failure_line_holds_any_path(void **state)
{
	static const char *const paths[] = {"/a\"\\\xff\n", "/gr\xc3\xbc\xc3\x9f", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char line[FAILURE_LINE_SIZE];
		cleanup_with(json_done) struct json_object *object = NULL;
		struct json_object *said;
		VIEW_ERROR(error);

		view_fail(&error, MSG_ARTIFACT_NONE, "binary", paths[i], "any of 20 layers");
		report_failure_line(line, &error);
		object = parsed(line);
		assert_false(json_object_get_boolean(member(object, "ready")));
		said = member(object, "error");
		assert_string_equal(json_string(said, "code"), "ENOARTIFACT");
		assert_string_equal(json_string(said, "message"), error.message);
	}
}

/* The longest of sentences, with what takes the most room. */
static void test_the_longest_failure_line_fits(void **state)
{
	static const char fill[] = {'p', '"', '\\', '\xff'};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fill); i++) {
		char path[MESSAGE_SIZE], line[FAILURE_LINE_SIZE];
		cleanup_with(json_done) struct json_object *object = NULL;
		VIEW_ERROR(error);

		memset(path, fill[i], sizeof(path) - 1);
		path[sizeof(path) - 1] = '\0';
		view_fail(&error, MSG_ARTIFACT_NONE, "binary", path, "any of 20 layers");
		report_failure_line(line, &error);
		object = parsed(line);
		assert_string_equal(json_string(member(object, "error"), "message"), error.message);
	}
}

static uint64_t soon(void)
{
	return now_us() + 30 * 1000000;
}

/* Sends from another process, since a pipe holds only so much. */
static int pass_on(const struct view_error *error, const char *ready, struct report *ret)
{
	int pipes[2];
	int status, r;
	pid_t pid;

	assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		close(pipes[0]);
		_exit(report_send(pipes[1], error, ready) == 0 ? 0 : 1);
	}
	close(pipes[1]);
	r = report_receive(pipes[0], -1, -1, soon(), ret);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

static void test_a_report_of_any_size_is_passed_on(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 65535, 65536, 200000};
	static struct report ready, failed;
	static char text[200001];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		VIEW_ERROR(none);
		struct view_error error = {.code = CODE_EARTIFACT};

		memset(text, 'm', sizes[i]);
		text[sizes[i]] = '\0';
		escape_unprintable(error.message, sizeof(error.message), text);
		assert_int_equal(pass_on(&none, text, &ready), 0);
		assert_int_equal(ready.code, CODE_NONE);
		assert_string_equal(ready.text, text);
		assert_int_equal(pass_on(&error, NULL, &failed), 0);
		assert_int_equal(failed.code, CODE_EARTIFACT);
		assert_string_equal(failed.text, error.message);
	}
}

/* What arrives when *bytes* were written and the other end was closed. */
static int receive_bytes(const char *bytes, size_t n)
{
	static struct report report;
	int pipes[2];
	int r;

	report = (struct report){};
	assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
	assert_int_equal(write(pipes[1], bytes, n), n);
	close(pipes[1]);
	r = report_receive(pipes[0], -1, -1, soon(), &report);
	close(pipes[0]);
	return r;
}

static void test_a_report_without_a_valid_outcome_is_epipe(void **state)
{
	static const char bug[] = {CODE_BUG, 'b', '\n'}, beyond[] = {CODE_BUG + 1, 'b', '\n'};

	(void)state;
	assert_int_equal(receive_bytes("", 0), -EPIPE);
	assert_int_equal(receive_bytes(bug, sizeof(bug)), 0);
	/* No code of ours. */
	assert_int_equal(receive_bytes(beyond, sizeof(beyond)), -EPIPE);
	assert_int_equal(receive_bytes("\x7f\n", 2), -EPIPE);
	assert_int_equal(receive_bytes("\x80\n", 2), -EPIPE);
	assert_int_equal(receive_bytes("\xff\n", 2), -EPIPE);
	/* Half of one. */
	assert_int_equal(receive_bytes(bug, sizeof(bug) - 1), -EPIPE);
}

static void test_lines_are_passed_on_while_an_outcome_is_awaited(void **state)
{
	static struct report report;
	int outcome[2], log[2], shown[2], saved = dup(STDERR_FILENO);
	char bytes[16] = "";

	(void)state;
	assert_return_code(pipe2(outcome, O_CLOEXEC), errno);
	assert_return_code(pipe2(log, O_CLOEXEC | O_NONBLOCK), errno);
	assert_return_code(pipe2(shown, O_CLOEXEC | O_NONBLOCK), errno);
	assert_int_equal(write(log[1], "a line\n", 7), 7);
	assert_return_code(dup2(shown[1], STDERR_FILENO), errno);
	assert_int_equal(report_receive(outcome[0], -1, log[0], now_us() + 2000, &report),
			 -ETIMEDOUT);
	/* Its end is not the outcome's. */
	close(log[1]);
	assert_int_equal(report_receive(outcome[0], -1, log[0], now_us() + 2000, &report),
			 -ETIMEDOUT);
	assert_return_code(dup2(saved, STDERR_FILENO), errno);
	assert_int_equal(read(shown[0], bytes, sizeof(bytes)), 7);
	assert_string_equal(bytes, "a line\n");
	close(saved);
	close(log[0]);
	for (int i = 0; i < 2; i++) {
		close(outcome[i]);
		close(shown[i]);
	}
}

static void test_receiving_ends_at_the_deadline_or_interrupt(void **state)
{
	static struct report report;
	int outcome[2], interrupt[2];

	(void)state;
	assert_return_code(pipe2(outcome, O_CLOEXEC), errno);
	assert_return_code(pipe2(interrupt, O_CLOEXEC), errno);
	assert_int_equal(report_receive(outcome[0], interrupt[0], -1, now_us(), &report),
			 -ETIMEDOUT);
	assert_int_equal(report_receive(outcome[0], interrupt[0], -1, now_us() + 2000, &report),
			 -ETIMEDOUT);
	/* Half an outcome does not count. */
	assert_int_equal(write(outcome[1], "\0half", 5), 5);
	assert_int_equal(report_receive(outcome[0], interrupt[0], -1, now_us() + 2000, &report),
			 -ETIMEDOUT);
	assert_int_equal(write(interrupt[1], "i", 1), 1);
	assert_int_equal(report_receive(outcome[0], interrupt[0], -1, soon(), &report), -EINTR);
	for (int i = 0; i < 2; i++) {
		close(outcome[i]);
		close(interrupt[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ready_line_lists_the_ready_artifacts),
		cmocka_unit_test(test_an_answer_with_long_names_is_cut_and_says_so),
		cmocka_unit_test(test_an_answer_has_the_fingerprint_that_nothing_asked_for_before),
		cmocka_unit_test(test_a_ready_line_holds_a_part_of_an_endless_origin),
		cmocka_unit_test(test_a_lazy_ready_line_has_no_artifacts),
		cmocka_unit_test(test_a_stored_image_has_a_chain_and_no_layers),
		cmocka_unit_test(test_a_failure_line_holds_any_path),
		cmocka_unit_test(test_the_longest_failure_line_fits),
		cmocka_unit_test(test_a_report_of_any_size_is_passed_on),
		cmocka_unit_test(test_a_report_without_a_valid_outcome_is_epipe),
		cmocka_unit_test(test_lines_are_passed_on_while_an_outcome_is_awaited),
		cmocka_unit_test(test_receiving_ends_at_the_deadline_or_interrupt),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
