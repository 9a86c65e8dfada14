/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/toc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/blob/json-scan.h"
#include "layerindex/blob/tar-number.h"

enum {
	KEY_SIZE = 32,
	WORD_SIZE = 128, /* of a type, a time or a digest */
	NAME_SIZE = 64 << 10,
	VERSION = 1,
};

enum state {
	BEFORE,
	AMONG_FILES,
	BEHIND,
};

/* One item of the table's list. */
struct item {
	char type[WORD_SIZE], time[WORD_SIZE], digest[WORD_SIZE];
	char name[NAME_SIZE], link[NAME_SIZE];
	int64_t mode, size, uid, gid, offset, end, inner;
};

struct toc {
	enum toc_form form;
	enum state state;
	bool versioned;
	struct item item;
	struct json_scan scan;
};

struct toc *toc_new(enum toc_form form, tar_source source, void *from)
{
	struct toc *toc = calloc(1, sizeof(*toc));

	if (!toc)
		return NULL;
	toc->form = form;
	json_scan_start(&toc->scan, source, from, TOC_PLAIN_MAX);
	return toc;
}

void toc_free(struct toc *toc)
{
	free(toc);
}

/* A key that is longer than any that counts is no such one. */
static int read_key(struct json_scan *scan, char ret[KEY_SIZE])
{
	int r = json_scan_string(scan, ret, KEY_SIZE);

	return r < 0 ? r : json_scan_expect(scan, ':');
}

/* Reads the table's keys up to its files, or from there to its end. Returns: 1: here they are; 0:
 * the end; or -errno. */
static int read_table(struct toc *toc)
{
	struct json_scan *scan = &toc->scan;
	char key[KEY_SIZE];
	int64_t version;
	int r = toc->state == BEFORE ? json_scan_begin(scan, '{') : json_scan_more(scan, '}');

	for (; r == 1; r = json_scan_more(scan, '}')) {
		r = read_key(scan, key);
		if (r < 0)
			return r;
		if (strcmp(key, "entries") == 0)
			return toc->state == BEFORE ? 1 : -EBADMSG;
		if (strcmp(key, "version") != 0) {
			r = json_scan_skip(scan);
		} else {
			r = json_scan_integer(scan, &version);
			if (r == 0 && version != VERSION)
				return -EBADMSG;
			toc->versioned = true;
		}
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = json_scan_end(scan);
	/* Without its files it is no table. */
	return r == 0 && (!toc->versioned || toc->state == BEFORE) ? -EBADMSG : r;
}

static int read_member(struct json_scan *scan, struct item *item)
{
	const struct {
		const char *key;
		char *text;
		size_t size;
		int64_t *number;
	} members[] = {
		{"type", item->type, sizeof(item->type), NULL},
		{"name", item->name, sizeof(item->name), NULL},
		{"linkName", item->link, sizeof(item->link), NULL},
		{"modtime", item->time, sizeof(item->time), NULL},
		{"digest", item->digest, sizeof(item->digest), NULL},
		{"mode", NULL, 0, &item->mode},
		{"size", NULL, 0, &item->size},
		{"uid", NULL, 0, &item->uid},
		{"gid", NULL, 0, &item->gid},
		{"offset", NULL, 0, &item->offset},
		{"endOffset", NULL, 0, &item->end},
		{"innerOffset", NULL, 0, &item->inner},
	};
	char key[KEY_SIZE];
	int r = read_key(scan, key);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		if (strcmp(members[i].key, key) != 0)
			continue;
		return members[i].text ? json_scan_string(scan, members[i].text, members[i].size)
				       : json_scan_integer(scan, members[i].number);
	}
	return json_scan_skip(scan);
}

static int read_item(struct json_scan *scan, struct item *item)
{
	int r = json_scan_begin(scan, '{');

	item->type[0] = item->time[0] = item->digest[0] = item->name[0] = item->link[0] = '\0';
	item->mode = item->size = item->uid = item->gid = 0;
	item->offset = item->end = item->inner = 0;
	while (r == 1) {
		r = read_member(scan, item);
		if (r == 0)
			r = json_scan_more(scan, '}');
	}
	return r;
}

/* A number of *n* digits, and the character behind it, which is one of *ends*. */
static int take_number(const char **text, size_t n, const char *ends, int *ret)
{
	int64_t number;

	for (size_t i = 0; i < n; i++)
		if ((*text)[i] < '0' || (*text)[i] > '9')
			return -EBADMSG;
	if (!strchr(ends, (*text)[n]) || tar_parse_int((struct span){*text, n}, &number) < 0)
		return -EBADMSG;
	*ret = (int)number;
	*text += n;
	return 0;
}

/* What follows a time's seconds: "Z", or hours and minutes east of it. */
static int take_zone(const char *text, time_t *ret)
{
	int hours, minutes;
	bool west = *text == '-';

	*ret = 0;
	if (strcmp(text, "Z") == 0)
		return 0;
	if (*text != '+' && !west)
		return -EBADMSG;
	text++;
	if (take_number(&text, 2, ":", &hours) < 0)
		return -EBADMSG;
	text++;
	if (take_number(&text, 2, "", &minutes) < 0)
		return -EBADMSG;
	*ret = (time_t)(west ? -60 : 60) * (hours * 60 + minutes);
	return 0;
}

/* From the epoch to a day of the Gregorian calendar; timegm(3) would look for a time zone first. */
static time_t days_until(int year, int month, int day)
{
	/* Years begin with March, so that a leap day ends one. */
	time_t years = year - (month < 3), months = (month + 9) % 12;

	return 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day -
	       1 - 719468;
}

/* A time of RFC 3339, as Go writes it; an empty text is the epoch. */
static int parse_time(const char *text, struct timespec *ret)
{
	static const struct {
		size_t digits;
		const char *ends;
	} parts[] = {{4, "-"}, {2, "-"}, {2, "T"}, {2, ":"}, {2, ":"}, {2, ".Z+-"}};
	enum { PARTS = sizeof(parts) / sizeof(*parts) };
	long nanoseconds = 0, digit = 100000000;
	int numbers[PARTS];
	time_t zone;

	*ret = (struct timespec){};
	if (!*text)
		return 0;
	for (size_t i = 0; i < PARTS; i++) {
		text += i > 0;
		if (take_number(&text, parts[i].digits, parts[i].ends, &numbers[i]) < 0)
			return -EBADMSG;
	}
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++, digit /= 10)
			nanoseconds += (*text - '0') * digit;
	if (take_zone(text, &zone) < 0 || numbers[1] < 1 || numbers[1] > 12)
		return -EBADMSG;
	*ret = (struct timespec){
		.tv_sec = days_until(numbers[0], numbers[1], numbers[2]) * 86400 +
			  (time_t)numbers[3] * 3600 + (time_t)numbers[4] * 60 + numbers[5] - zone,
		.tv_nsec = nanoseconds,
	};
	return 0;
}

/* Returns: the archive's type; 0: a piece of the file before; or -EBADMSG. */
static int type_of(const char *name)
{
	static const struct {
		char name[10], type;
	} types[] = {
		{"reg", '0'},	{"hardlink", '1'}, {"symlink", '2'}, {"char", '3'},
		{"block", '4'}, {"dir", '5'},	   {"fifo", '6'},    {"chunk", 0},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	return -EBADMSG;
}

static int set_range(const struct toc *toc, struct toc_range *ret)
{
	const struct item *item = &toc->item;

	*ret = (struct toc_range){.offset = item->offset};
	if (toc->form == TOC_CHUNKED)
		ret->end = item->end;
	else
		ret->skip = item->inner;
	if (item->offset <= 0 || ret->skip < 0 ||
	    (toc->form == TOC_CHUNKED && item->end <= item->offset) ||
	    strncmp(item->digest, "sha256:", 7) != 0)
		return -EBADMSG;
	return li_digest_parse(item->digest + 7, &ret->digest) < 0 ? -EBADMSG : 0;
}

/* Returns: 1, with the file; 0: the item is a piece of the one before; or -errno. */
static int take_item(const struct toc *toc, struct tar_entry *ret, struct toc_range *ret_range)
{
	const struct item *item = &toc->item;
	int type = type_of(item->type);

	if (type <= 0)
		return type;
	*ret = (struct tar_entry){
		.name = item->name,
		.link = item->link,
		.type = (char)type,
		.size = type == '0' ? item->size : 0,
		.mode = item->mode,
		.uid = item->uid,
		.gid = item->gid,
	};
	*ret_range = (struct toc_range){};
	if (ret->size < 0 || parse_time(item->time, &ret->mtime) < 0)
		return -EBADMSG;
	if (ret->size > 0 && set_range(toc, ret_range) < 0)
		return -EBADMSG;
	return 1;
}

/* The file that has the table: what is certain of it is its name. */
static struct tar_entry own_entry(void)
{
	return (struct tar_entry){.name = TOC_ESTARGZ_NAME, .link = "", .type = '0', .size = 1};
}

int toc_next(struct toc *toc, struct tar_entry *ret, struct toc_range *ret_range)
{
	bool begins = toc->state == BEFORE;
	int r = begins ? read_table(toc) : 1;

	if (r < 0 || toc->state == BEHIND)
		return r < 0 ? r : 0;
	if (begins) {
		r = json_scan_begin(&toc->scan, '[');
		toc->state = AMONG_FILES;
	} else {
		r = json_scan_more(&toc->scan, ']');
	}
	for (; r == 1; r = json_scan_more(&toc->scan, ']')) {
		r = read_item(&toc->scan, &toc->item);
		if (r == 0)
			r = take_item(toc, ret, ret_range);
		if (r != 0)
			return r;
	}
	if (r == 0)
		r = read_table(toc);
	if (r < 0)
		return r;
	toc->state = BEHIND;
	if (toc->form != TOC_ESTARGZ)
		return 0;
	*ret = own_entry();
	*ret_range = (struct toc_range){};
	return 1;
}
