/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 8259. */
#include "layerindex/blob/json-scan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "layerindex/blob/tar-number.h"

enum {
	NUMBER_MAX = 32,
	LOST = 0xFFFD, /* the character that stands for bytes that are none */
};

void json_scan_start(struct json_scan *scan, tar_source source, void *from, int64_t max)
{
	scan->source = source;
	scan->from = from;
	scan->left = max;
	scan->at = scan->size = 0;
}

/* Returns: the next byte, which is not read by that; -ENODATA at the end; or -errno. */
static int peek(struct json_scan *scan)
{
	ssize_t n;

	if (scan->at < scan->size)
		return scan->bytes[scan->at];
	n = scan->source(scan->from, scan->bytes, sizeof(scan->bytes));
	if (n <= 0)
		return n < 0 ? (int)n : -ENODATA;
	scan->left -= n;
	if (scan->left < 0)
		return -E2BIG;
	scan->at = 0;
	scan->size = (size_t)n;
	return scan->bytes[0];
}

/* Returns: the next byte, which is read; or -errno. */
static int next(struct json_scan *scan)
{
	int c = peek(scan);

	if (c >= 0)
		scan->at++;
	return c == -ENODATA ? -EBADMSG : c;
}

/* Returns: the next byte that is no white space, which is not read; or -errno. */
static int peek_token(struct json_scan *scan)
{
	for (;;) {
		int c = peek(scan);

		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return c;
		scan->at++;
	}
}

static int next_token(struct json_scan *scan)
{
	int c = peek_token(scan);

	return c < 0 ? c == -ENODATA ? -EBADMSG : c : next(scan);
}

int json_scan_expect(struct json_scan *scan, char c)
{
	int r = next_token(scan);

	if (r < 0)
		return r;
	return r == c ? 0 : -EBADMSG;
}

int json_scan_begin(struct json_scan *scan, char open)
{
	int r = json_scan_expect(scan, open);

	if (r < 0)
		return r;
	r = peek_token(scan);
	if (r != (open == '[' ? ']' : '}'))
		return r == -ENODATA ? -EBADMSG : r < 0 ? r : 1;
	scan->at++;
	return 0;
}

int json_scan_more(struct json_scan *scan, char close)
{
	int c = next_token(scan);

	if (c < 0)
		return c;
	return c == ',' ? 1 : c == close ? 0 : -EBADMSG;
}

/* Four hexadecimal digits. */
static int read_unit(struct json_scan *scan)
{
	int unit = 0;

	for (int i = 0; i < 4; i++) {
		int c = next(scan);

		if (c < 0)
			return c;
		if (c >= '0' && c <= '9')
			unit = unit << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			unit = unit << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -EBADMSG;
	}
	return unit;
}

/* What follows "\u": one unit of UTF-16, or two. Returns: a character, or -errno. */
static int read_code(struct json_scan *scan)
{
	int high = read_unit(scan), low;

	if (high < 0xD800 || high > 0xDFFF)
		return high;
	if (high > 0xDBFF || next(scan) != '\\' || next(scan) != 'u')
		return -EBADMSG;
	low = read_unit(scan);
	if (low < 0xDC00 || low > 0xDFFF)
		return low < 0 ? low : -EBADMSG;
	return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Returns: how many bytes a character is in UTF-8. */
static int put_code(int code, char ret[4])
{
	if (code < 0x80) {
		ret[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		ret[0] = (char)(0xC0 | code >> 6);
		ret[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		ret[0] = (char)(0xE0 | code >> 12);
		ret[1] = (char)(0x80 | (code >> 6 & 0x3F));
		ret[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	ret[0] = (char)(0xF0 | code >> 18);
	ret[1] = (char)(0x80 | (code >> 12 & 0x3F));
	ret[2] = (char)(0x80 | (code >> 6 & 0x3F));
	ret[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

/* What follows a backslash. Returns: how many bytes it stands for, or -errno. */
static int read_escape(struct json_scan *scan, char ret[4])
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	int c = next(scan);
	const char *name;

	if (c < 0)
		return c;
	if (c == 'u') {
		c = read_code(scan);
		return c < 0 ? c : c == 0 || c == LOST ? -EBADMSG : put_code(c, ret);
	}
	name = c ? strchr(names, c) : NULL;
	if (!name)
		return -EBADMSG;
	ret[0] = values[name - names];
	return 1;
}

/* Reads a string's next character, or byte. Returns: its bytes; 0: the string ended; or -errno. */
static int read_character(struct json_scan *scan, char ret[4])
{
	int c = next(scan);

	if (c < 0 || c == '"')
		return c < 0 ? c : 0;
	if (c == '\\')
		return read_escape(scan, ret);
	if (c < 0x20)
		return -EBADMSG;
	ret[0] = (char)c;
	return 1;
}

/* How many of the bytes that were read stand for themselves: they are taken at once. */
static size_t literals(const struct json_scan *scan)
{
	size_t i = scan->at;

	while (i < scan->size && scan->bytes[i] >= 0x20 && scan->bytes[i] != '"' &&
	       scan->bytes[i] != '\\')
		i++;
	return i - scan->at;
}

/* Appends to a string that has *n* bytes of *size*. Returns: its new length, or -E2BIG. */
static ssize_t append(char *ret, size_t size, size_t n, const void *bytes, size_t more)
{
	if (more >= size - n)
		return -E2BIG;
	memcpy(ret + n, bytes, more);
	return (ssize_t)(n + more);
}

static bool has_lost(const char *text, size_t n)
{
	const char *first = memchr(text, 0xEF, n);

	return first && strstr(first, "\xEF\xBF\xBD");
}

int json_scan_string(struct json_scan *scan, char *ret, size_t size)
{
	char piece[4];
	ssize_t n = 0;
	int r = json_scan_expect(scan, '"');

	if (r < 0)
		return r;
	do {
		size_t plain = literals(scan);

		n = append(ret, size, (size_t)n, scan->bytes + scan->at, plain);
		if (n < 0)
			return (int)n;
		scan->at += plain;
		r = read_character(scan, piece);
		if (r > 0)
			n = append(ret, size, (size_t)n, piece, (size_t)r);
	} while (r > 0 && n >= 0);
	if (r < 0 || n < 0)
		return r < 0 ? r : (int)n;
	ret[n] = '\0';
	return has_lost(ret, (size_t)n) ? -EBADMSG : 0;
}

/* The characters of a number, or of a name. */
static int read_word(struct json_scan *scan, char ret[NUMBER_MAX])
{
	size_t n = 0;
	int c = peek_token(scan);

	for (;; c = peek(scan)) {
		bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' ||
			       c == '-' || c == '+' || c == '.';

		if (c < 0 && c != -ENODATA)
			return c;
		if (!is_word)
			break;
		if (n == NUMBER_MAX - 1)
			return -EBADMSG;
		ret[n++] = (char)c;
		scan->at++;
	}
	ret[n] = '\0';
	return n > 0 ? (int)n : -EBADMSG;
}

int json_scan_integer(struct json_scan *scan, int64_t *ret)
{
	char word[NUMBER_MAX];
	int n = read_word(scan, word);

	return n < 0 ? n : tar_parse_int((struct span){word, (size_t)n}, ret);
}

static int skip_string(struct json_scan *scan)
{
	char piece[4];
	int r = json_scan_expect(scan, '"');

	if (r < 0)
		return r;
	do {
		scan->at += literals(scan);
		r = read_character(scan, piece);
	} while (r > 0);
	return r;
}

/* Reads a value that holds none, or begins one. *open* has one bit a level, 1 of an object.
 * Returns: 1: it began one that has an item; 0; or -errno. */
static int skip_scalar(struct json_scan *scan, uint32_t *open, int depth)
{
	char word[NUMBER_MAX];
	int c = peek_token(scan), r;

	if (c == '"')
		return skip_string(scan);
	if (c != '{' && c != '[') {
		r = read_word(scan, word);
		return r < 0 ? r : 0;
	}
	if (depth == JSON_SCAN_DEPTH_MAX)
		return -E2BIG;
	*open = *open << 1 | (c == '{');
	r = json_scan_begin(scan, (char)c);
	if (r == 0)
		*open >>= 1;
	return r;
}

static int skip_key(struct json_scan *scan)
{
	int r = skip_string(scan);

	return r < 0 ? r : json_scan_expect(scan, ':');
}

int json_scan_skip(struct json_scan *scan)
{
	uint32_t open = 0;
	int depth = 0, r = 1;

	do {
		if (r == 1 && depth > 0 && (open & 1))
			r = skip_key(scan);
		if (r >= 0)
			r = skip_scalar(scan, &open, depth);
		if (r == 1)
			depth++;
		/* Behind a value: to the next one of the innermost that has one. */
		while (r == 0 && depth > 0) {
			r = json_scan_more(scan, open & 1 ? '}' : ']');
			if (r == 0) {
				open >>= 1;
				depth--;
			}
		}
	} while (r == 1);
	return r;
}

int json_scan_end(struct json_scan *scan)
{
	int c = peek_token(scan);

	return c == -ENODATA ? 0 : c < 0 ? c : -EBADMSG;
}
