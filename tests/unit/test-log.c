/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/log.h"

#include "fuse/base/json.h"
#include "tests/unit/fixture.h"

enum { ID_SIZE = 255, LONGEST = 4095 };

/* What stderr gets of a message. Returns: what was written, which must be whole lines; static. */
static const char *logged(enum log_level level, const char *text)
{
	static char written[16384];
	int kept = dup(STDERR_FILENO);
	int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	assert_true(kept >= 0 && fd >= 0);
	assert_return_code(dup2(fd, STDERR_FILENO), errno);
	log_message(level, "%s", text);
	assert_return_code(dup2(kept, STDERR_FILENO), errno);
	n = pread(fd, written, sizeof(written) - 1, 0);
	assert_true(n >= 0 && (size_t)n <= sizeof(written) - 2);
	/* cppcheck-suppress negativeIndex ; an assertion does not come back */
	written[n] = '\0';
	close(fd);
	close(kept);
	return written;
}

static void test_lines_below_the_level_are_left_out(void **state)
{
	(void)state;
	for (int least = LOG_LEVEL_ERROR; least <= LOG_LEVEL_DEBUG; least++) {
		struct log_options options = {.level = (enum log_level)least};

		log_setup("program", &options);
		for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
			assert_string_equal(logged((enum log_level)level, "said"),
					    level <= least ? "program: said\n" : "");
	}
}

static void test_text_is_printable(void **state)
{
	struct log_options options = {.level = LOG_LEVEL_INFO};

	(void)state;
	log_setup("program", &options);
	assert_string_equal(logged(LOG_LEVEL_INFO, "a\n\x1b[1mb\xff\xc3\xa4"),
			    "program: a\\012\\033[1mb\\377\xc3\xa4\n");
}

static const char *repeated(const char *what, size_t size)
{
	static char text[2 * LONGEST];
	size_t length = strlen(what);

	for (size_t i = 0; i < size; i++)
		text[i] = what[i % length];
	text[size] = '\0';
	return text;
}

/* As urunc's own log lines, and JSON whatever stands in it, up to the longest of all. */
static void test_json_lines_hold_any_text(void **state)
{
	static const char *const pieces[] = {"m", "\"", "\\", "\xc3\xa4", "\xc3\xa4\"", "\x01\xff"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		cleanup_free char *id = strdup(repeated(pieces[i], ID_SIZE));
		struct log_options options = {
			.level = LOG_LEVEL_WARN, .format = LOG_FORMAT_JSON, .id = id};
		cleanup_with(json_done) struct json_object *object = NULL;
		const char *text = repeated(pieces[i], LONGEST - LONGEST % 6);
		const char *line, *message;
		struct json_fault fault;

		log_setup("program", &options);
		line = logged(LOG_LEVEL_WARN, text);
		same_int(pieces[i], strcspn(line, "\n"), strlen(line) - 1);
		same_int(pieces[i], json_parse(line, strlen(line), &object, &fault), 0);
		same_str(pieces[i], json_string(object, "level"), "warning");
		same_str(pieces[i], json_string(object, "subsystem"), "viewfs");
		message = json_string(object, "msg");
		if (*text != '\x01')
			same_str(pieces[i], message, text);
		else
			same_int(pieces[i], strncmp(message, "\\001\\377\\001", 12), 0);
		assert_true(strlen(json_string(object, "containerID")) >= ID_SIZE);
		assert_int_equal(strlen(json_string(object, "time")),
				 strlen("2006-01-02T15:04:05Z"));
	}
}

static void test_json_lines_without_an_id_leave_it_out(void **state)
{
	struct log_options options = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_JSON};

	(void)state;
	log_setup("program", &options);
	assert_null(strstr(logged(LOG_LEVEL_ERROR, "said"), "containerID"));
}

/* A reader that does not read loses lines, and is told how many. */
static void test_a_full_stderr_is_not_waited_for(void **state)
{
	struct log_options options = {.level = LOG_LEVEL_INFO};
	int kept = dup(STDERR_FILENO);
	char bytes[1 << 16];
	int ends[2];
	ssize_t n;

	(void)state;
	log_setup("program", &options);
	assert_return_code(pipe2(ends, O_NONBLOCK | O_CLOEXEC), errno);
	memset(bytes, 'x', sizeof(bytes));
	while (write(ends[1], bytes, sizeof(bytes)) > 0)
		;
	assert_return_code(fcntl(ends[1], F_SETFL, 0), errno);
	assert_return_code(dup2(ends[1], STDERR_FILENO), errno);
	log_wait_until(1);
	log_message(LOG_LEVEL_INFO, "lost");
	log_message(LOG_LEVEL_INFO, "lost too");
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		;
	log_message(LOG_LEVEL_INFO, "said");
	log_wait_until(0);
	assert_return_code(dup2(kept, STDERR_FILENO), errno);
	n = read(ends[0], bytes, sizeof(bytes) - 1);
	assert_true(n > 0);
	bytes[n] = '\0';
	assert_string_equal(bytes, "program: 2 lines were lost\nprogram: said\n");
	close(ends[0]);
	close(ends[1]);
	close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_lines_below_the_level_are_left_out),
		scratch_test(test_text_is_printable),
		scratch_test(test_json_lines_hold_any_text),
		scratch_test(test_json_lines_without_an_id_leave_it_out),
		scratch_test(test_a_full_stderr_is_not_waited_for),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
