/* SPDX-License-Identifier: Apache-2.0 */
/* The contract's table of mount options, row by row. */
#include "fuse/cli/options.h"

#include "tests/unit/fixture-view.h"

static int parse(const char *list, struct options *options, struct view_error *error)
{
	cleanup_free char *copy = strdup(list);

	assert_non_null(copy);
	return options_parse(options, copy, error);
}

static void test_good_options_are_accepted(void **state)
{
	static const char *const rows[] = {
		"",
		"rw,binary=/k",
		"timeout=1",
		"timeout=86400",
		"resolve=lazy",
		"resolve=ready",
		"passthrough=auto",
		"passthrough=on",
		"passthrough=off",
		"sandbox=auto",
		"sandbox=require",
		"decode=strict",
		"decode=auto",
		"uid=0,gid=4294967294",
		"mode=0",
		"mode=0777",
		"basedir=x",
		"id=web-1",
		"userxattr",
		"lowerdir=a:b",
		"lowerdir+=a,lowerdir+=b",
		"uidmap=0:1:2,3:4:5,gidmap=0:1:2",
		/* mount(8) and libfuse. */
		"ro,rw,suid,nosuid,dev,nodev,exec,noexec",
		"sync,async,dirsync,silent,loud,defaults",
		"iversion,noiversion,mand,nomand,symfollow,nosymfollow",
		"atime,noatime,diratime,nodiratime,relatime,norelatime,strictatime,nostrictatime",
		"lazytime,nolazytime,allow_other,default_permissions,user_id=0,group_id=0",
		/* overlayfs and containerd. */
		"upperdir=a,workdir=b,index=off,xino=off,nfs_export=off,uuid=on,volatile",
		"redirect_dir=on,metacopy=on,rbind,bind",
		/* For others. */
		"x-systemd.automount,x-a=b,X-mount.mkdir,X-a=b,nofail,_netdev,nouser,noauto,auto",
		"comment=anything,uhelper=x,fsname=a,subtype=b",
		/* SELinux's, which mount(8) hands on with quotes where they have commas. */
		"context=system_u:object_r:container_file_t:s0",
		"fscontext=a,defcontext=b,rootcontext=\"a:s0:c1,c2\",ro",
		"context=\"a:s0:c1,c2,c3\"",
		"context=\"a:s0\",ro",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(options_done) struct options options = OPTIONS_INIT;
		int r = parse(rows[i], &options, &error);

		same_error(rows[i], r, &error, CODE_NONE, NULL);
	}
}

static void test_bad_options_are_rejected_with_the_reason(void **state)
{
	static const struct {
		const char *list, *message;
	} rows[] = {
		/* With the reason. */
		{"remount", "'remount': a view is always read-only"},
		{"user", "'user': views in fstab belong to root"},
		{"user=joe", "'user': views in fstab belong to root"},
		{"users", "'users': views in fstab belong to root"},
		/* By name. */
		{"nonsense", "unknown mount option 'nonsense'"},
		{"nonsense=1", "unknown mount option 'nonsense'"},
		{"RO", "unknown mount option 'RO'"},
		{"binary2=/k", "unknown mount option 'binary2'"},
		{"x_a", "unknown mount option 'x_a'"},
		{"=x", "unknown mount option ''"},
		{"0:1:2", "unknown mount option '0:1:2'"},
		{"a\nb", "unknown mount option 'a\\012b'"},
		/* With the nearest known one, be it one that is ignored. */
		{"timout=3", "unknown mount option 'timout': did you mean 'timeout'?"},
		{"bianry=/k", "'bianry': did you mean 'binary'?"},
		{"lowerdirs=a", "'lowerdirs': did you mean 'lowerdir'?"},
		{"RO", "'RO': did you mean 'ro'?"},
		{"nosiud", "'nosiud': did you mean 'nosuid'?"},
		{"workdri=x", "'workdri': did you mean 'workdir'?"},
		{"contxt=x", "'contxt': did you mean 'context'?"},
		/* Quotes of other options, and those that are left open, are no quotes. */
		{"comment=\"a,b\"", "unknown mount option 'b\"'"},
		{"context=\"a,bcd", "unknown mount option 'bcd'"},
		{"context", "'context' requires a value"},
		/* A value that is missing or too much. */
		{"binary", "'binary' requires a value"},
		{"binary=", "'binary' requires a value"},
		{"initrd", "'initrd' requires a value"},
		{"initrd=", "'initrd' requires a value"},
		{"timeout", "'timeout' requires a value"},
		{"timeout=", "'timeout' requires a value"},
		{"resolve", "'resolve' requires a value"},
		{"passthrough", "'passthrough' requires a value"},
		{"sandbox", "'sandbox' requires a value"},
		{"decode", "'decode' requires a value"},
		{"uid", "'uid' requires a value"},
		{"gid=", "'gid' requires a value"},
		{"mode", "'mode' requires a value"},
		{"basedir=", "'basedir' requires a value"},
		{"id", "'id' requires a value"},
		{"id=", "'id' requires a value"},
		{"workdir", "'workdir' requires a value"},
		{"comment", "'comment' requires a value"},
		{"lowerdir", "'lowerdir' requires a value"},
		{"lowerdir+", "'lowerdir+' requires a value"},
		{"upperdir", "'upperdir' requires a value"},
		{"uidmap", "'uidmap' requires a value"},
		{"userxattr=on", "'userxattr' does not accept a value"},
		{"ro=1", "'ro' does not accept a value"},
		{"allow_other=", "'allow_other' does not accept a value"},
		{"volatile=1", "'volatile' does not accept a value"},
		/* A wrong value. */
		{"timeout=0", "'timeout': '0' is not"},
		{"timeout=86401", "'timeout': '86401' is not"},
		{"timeout=-1", "'timeout': '-1' is not"},
		{"timeout=1s", "'timeout': '1s' is not"},
		{"resolve=never", "'resolve': 'never' is not lazy or ready"},
		{"passthrough=yes", "'passthrough': 'yes' is not auto, on or off"},
		{"sandbox=on", "'sandbox': 'on' is not auto or require"},
		{"decode=base64", "'decode': 'base64' is not strict or auto"},
		{"uid=root", "'uid': 'root' is not a numeric id"},
		{"uid=4294967295", "'uid': '4294967295' is not"},
		{"gid=-1", "'gid': '-1' is not"},
		{"mode=1000", "'mode': '1000' is not octal"},
		{"mode=4755", "'mode': '4755' is not octal"},
		{"mode=888", "'mode': '888' is not octal"},
		{"mode=rw", "'mode': 'rw' is not octal"},
		{"uidmap=1:2", "'uidmap': '1:2' is not CONTAINER:HOST:SIZE"},
		{"lowerdir=a:", "empty layer path in 'lowerdir=a:'"},
		{"lowerdir=a,lowerdir+=b", "'lowerdir+=' cannot follow 'lowerdir='"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(options_done) struct options options = OPTIONS_INIT;
		int r = parse(rows[i].list, &options, &error);

		same_error(rows[i].list, r, &error, CODE_EUSAGE, rows[i].message);
	}
}

static void test_options_set_their_values(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(options_done) struct options options = OPTIONS_INIT;

	(void)state;
	assert_int_equal(options.timeout, 10);
	assert_int_equal(options.resolve, RESOLVE_LAZY);
	assert_int_equal(options.decode, DECODE_STRICT);
	assert_int_equal(options.passthrough, PASSTHROUGH_AUTO);
	assert_int_equal(options.sandbox, SANDBOX_AUTO);
	assert_int_equal(options.uid, OWNER_OF_LAYER);
	/* The last one wins; "\," is a comma. */
	assert_int_equal(parse("binary=/a,binary=/b,initrd=/co\\,mma=1,timeout=3,resolve=ready,"
			       "decode=auto,passthrough=off,sandbox=require,uid=1000,gid=0,mode="
			       "777,basedir=/base,id=web-1",
			       &options, &error),
			 0);
	assert_string_equal(options.binary, "/b");
	assert_string_equal(options.initrd, "/co,mma=1");
	assert_int_equal(options.timeout, 3);
	assert_int_equal(options.resolve, RESOLVE_READY);
	assert_int_equal(options.decode, DECODE_AUTO);
	assert_int_equal(options.passthrough, PASSTHROUGH_OFF);
	assert_int_equal(options.sandbox, SANDBOX_REQUIRE);
	assert_int_equal(options.uid, 1000);
	assert_int_equal(options.gid, 0);
	/* Write bits are masked. */
	assert_int_equal(options.mode, 0555);
	assert_string_equal(options.basedir, "/base");
	assert_string_equal(options.id, "web-1");
	/* -o may be given again. */
	assert_int_equal(parse("lowerdir+=a,resolve=lazy", &options, &error), 0);
	assert_int_equal(parse("lowerdir+=b,userxattr", &options, &error), 0);
	assert_string_equal(joined(&options.overlay.lowers), "a|b");
	assert_int_equal(options.resolve, RESOLVE_LAZY);
	assert_true(options.overlay.userxattr);
}

static void test_the_length_of_an_id_is_limited(void **state)
{
	char list[sizeof("id=") + ID_MAX + 1] = "id=";

	(void)state;
	for (size_t n = ID_MAX; n <= ID_MAX + 1; n++) {
		VIEW_ERROR(error);
		cleanup_with(options_done) struct options options = OPTIONS_INIT;
		int r;

		memset(list + strlen("id="), 'i', n);
		list[strlen("id=") + n] = '\0';
		r = parse(list, &options, &error);
		same_error("id", r, &error, n > ID_MAX ? CODE_EUSAGE : CODE_NONE, "at most 255");
	}
}

static void test_a_rejected_option_is_no_suggestion(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(options_done) struct options options = OPTIONS_INIT;

	(void)state;
	assert_int_equal(parse("remuont", &options, &error), -ECANCELED);
	assert_string_equal(error.message, "unknown mount option 'remuont'");
}

/* For mount(8)'s -s, which leaves out what is not known; what is refused is known. */
static void test_rejected_options_count_as_known(void **state)
{
	static const char *const known[] = {"binary", "ro",    "remount", "user",  "lowerdir",
					    "x-a",    "X-a.b", "0:1:2",	  "uidmap"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		same_int(known[i], options_know(known[i]), true);
	assert_false(options_know("nonsense"));
	assert_false(options_know("x_a"));
	assert_false(options_know(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_options_are_accepted),
		cmocka_unit_test(test_bad_options_are_rejected_with_the_reason),
		cmocka_unit_test(test_options_set_their_values),
		cmocka_unit_test(test_the_length_of_an_id_is_limited),
		cmocka_unit_test(test_a_rejected_option_is_no_suggestion),
		cmocka_unit_test(test_rejected_options_count_as_known),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
