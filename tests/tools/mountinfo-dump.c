/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountinfo-dump
 *
 * Reads lines of mountinfo from stdin, by our own reader and by libmount's, and answers each with
 * one line of JSON: {"ours":FIELDS,"libmount":FIELDS}, where FIELDS is null for a line that was
 * refused. Fields of any bytes are hex; the filesystem's options are compared with their octal
 * escapes dropped, as libmount has them.
 */
#include <json-c/json.h>
#include <libmount.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "fuse/mount/mountinfo.h"

/* libmount guesses a file's format from its first line: this one settles it. */
#define FIRST_LINE "1 1 0:1 / / rw - first first rw\n"

static void add_hex(struct json_object *object, const char *key, const char *bytes)
{
	cleanup_free char *hex = NULL;

	if (!bytes) {
		json_object_object_add(object, key, NULL);
		return;
	}
	hex = calloc(2, strlen(bytes) + 1);
	for (size_t i = 0; hex && bytes[i]; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)bytes[i]);
	json_object_object_add(object, key, json_object_new_string(hex ? hex : ""));
}

static struct json_object *read_ours(const char *text)
{
	cleanup_free char *line = strdup(text);
	struct json_object *fields;
	struct mount_entry entry;

	if (!line || mount_entry_parse(line, &entry) < 0)
		return NULL;
	fields = json_object_new_object();
	text_decode_octal(entry.super);
	json_object_object_add(fields, "id", json_object_new_int64((int64_t)entry.id));
	add_hex(fields, "root", entry.root);
	add_hex(fields, "mountpoint", entry.mountpoint);
	add_hex(fields, "type", entry.type);
	add_hex(fields, "source", entry.source);
	add_hex(fields, "super", entry.super);
	return fields;
}

static struct json_object *read_entry(struct libmnt_fs *fs)
{
	struct json_object *fields = json_object_new_object();

	json_object_object_add(fields, "id", json_object_new_int64(mnt_fs_get_id(fs)));
	add_hex(fields, "root", mnt_fs_get_root(fs));
	add_hex(fields, "mountpoint", mnt_fs_get_target(fs));
	add_hex(fields, "type", mnt_fs_get_fstype(fs));
	add_hex(fields, "source", mnt_fs_get_srcpath(fs));
	add_hex(fields, "super", mnt_fs_get_fs_options(fs));
	return fields;
}

/* Goes on after a line that is refused. */
static int skip_line(struct libmnt_table *table, const char *filename, int line)
{
	(void)table, (void)filename, (void)line;
	return 1;
}

static struct json_object *read_libmount(const char *text)
{
	struct libmnt_table *table = mnt_new_table();
	struct json_object *fields = NULL;
	cleanup_free char *whole = NULL;
	struct libmnt_fs *fs = NULL;
	FILE *stream;

	if (asprintf(&whole, FIRST_LINE "%s\n", text) < 0)
		return NULL;
	stream = fmemopen(whole, strlen(whole), "r");
	mnt_table_set_parser_errcb(table, skip_line);
	if (stream && mnt_table_parse_stream(table, stream, "mountinfo") == 0 &&
	    mnt_table_get_nents(table) == 2 && mnt_table_last_fs(table, &fs) == 0)
		fields = read_entry(fs);
	if (stream)
		fclose(stream);
	mnt_unref_table(table);
	return fields;
}

int main(void)
{
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	ssize_t n;

	while ((n = getline(&line, &capacity, stdin)) > 0) {
		cleanup_with(json_done) struct json_object *both = json_object_new_object();

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		json_object_object_add(both, "ours", read_ours(line));
		json_object_object_add(both, "libmount", read_libmount(line));
		puts(json_object_to_json_string_ext(both, JSON_C_TO_STRING_PLAIN));
		fflush(stdout);
	}
	return 0;
}
