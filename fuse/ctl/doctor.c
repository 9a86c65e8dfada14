/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl doctor: what on this machine is not as views need it. */
#include <errno.h>
#include <stdio.h>

#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/doctor-findings.h"
#include "fuse/ctl/table.h"

static const struct {
	const char *name;
	enum colour colour;
	int status;
} severities[] = {
	[SEVERITY_OK] = {"ok", GREEN, 0},
	[SEVERITY_NOTE] = {"note", BOLD, 0},
	[SEVERITY_WARNING] = {"warning", YELLOW, 0},
	[SEVERITY_ERROR] = {"error", RED, 32},
};

static void doctor_print_help(void)
{
	puts("Usage: viewfsctl doctor [--json]\n"
	     "\n"
	     "Prints what on this machine prevents views from working or slows them down, and the\n"
	     "fix. Changes nothing. error: views cannot work; warning: degraded; note:\n"
	     "information. Run as root: passthrough is probed by a trial mount that no process\n"
	     "sees.\n"
	     "\n"
	     "      --json     one JSON object: {\"findings\":[{\"severity\" (ok, note, warning,\n"
	     "                 error), \"subject\", \"finding\", \"fix\" (or null)}]}\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0 no errors, 1 usage, 2 system, 32 errors.");
}

static void print_findings(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->items[i];

		printf("%s%-7s%s  %-11s  %s\n", colour_code(severities[finding->severity].colour),
		       severities[finding->severity].name, colour_code(PLAIN), finding->subject,
		       finding->text);
		if (finding->fix)
			printf("%22s→ %s\n", "", finding->fix);
	}
}

/* Owned, or NULL without memory. */
static struct json_object *doctor_describe(const struct finding *finding)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const char *severity = severities[finding->severity].name;

	if (!object || json_add(object, "severity", json_object_new_string(severity)) < 0 ||
	    json_add(object, "subject", json_object_new_string(finding->subject)) < 0 ||
	    json_add(object, "finding", json_object_new_string(finding->text)) < 0 ||
	    json_object_object_add(object, "fix",
				   finding->fix ? json_object_new_string(finding->fix) : NULL) < 0)
		return NULL;
	return TAKE_PTR(object);
}

static int doctor_print_json(const struct findings *findings)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *array = json_object_new_array();

	if (!object || json_add(object, "findings", array) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < findings->count; i++)
		if (json_append(array, doctor_describe(&findings->items[i])) < 0)
			return -ENOMEM;
	json_print(object);
	return 0;
}

static int doctor_run(const struct ctl_call *call, struct view_error *error)
{
	static void (*const checks[])(struct findings *) = {
		check_kernel,	   check_device,    check_privilege, check_passthrough,
		check_openat2,	   check_program,   check_fuse3,     check_containerd,
		check_snapshotter, check_snapshots, check_shim,	     check_urunc,
		check_apparmor,	   check_selinux,   check_store,     check_views,
	};
	cleanup_with(findings_done) struct findings findings = {};
	enum severity worst = SEVERITY_OK;

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
		checks[i](&findings);
	for (size_t i = 0; i < findings.count; i++)
		if (findings.items[i].severity > worst)
			worst = findings.items[i].severity;
	if (call->json && doctor_print_json(&findings) < 0)
		findings.no_memory = true;
	if (!call->json)
		print_findings(&findings);
	return findings.no_memory ? view_fail(error, MSG_NO_MEMORY) : severities[worst].status;
}

const struct ctl_command ctl_doctor = {
	.name = "doctor",
	.summary = "what on this machine prevents views or slows them down, and the fix",
	.print_help = doctor_print_help,
	.run = doctor_run,
	.json = true,
	.capabilities = CTL_END_VIEWS,
};
