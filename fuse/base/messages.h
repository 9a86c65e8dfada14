/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that a user reads when a view cannot be made: for view_fail(), a code and the format
 * of one sentence each. A sentence names the object and, where that is known, says what to do.
 */
#pragma once

/* Usage errors. */
#define MSG_UNKNOWN_OPTION	CODE_EUSAGE, "unknown mount option '%s'"
#define MSG_UNKNOWN_OPTION_NEAR CODE_EUSAGE, "unknown mount option '%s': did you mean '%s'?"
#define MSG_OPTION_REFUSED	CODE_EUSAGE, "mount option '%s': %s"
#define MSG_OPTION_NEEDS_VALUE	CODE_EUSAGE, "mount option '%s' requires a value: %s=…"
#define MSG_OPTION_NO_VALUE	CODE_EUSAGE, "mount option '%s' does not accept a value"
#define MSG_OPTION_VALUE	CODE_EUSAGE, "mount option '%s': '%s' is not %s"
#define MSG_ARGUMENT_VALUE	CODE_EUSAGE, "--%s: '%s' is not %s"
#define MSG_ARGUMENT_EMPTY	CODE_EUSAGE, "--%s must not be empty"
#define MSG_ARGUMENT_TWICE	CODE_EUSAGE, "--%s may be given only once"
#define MSG_ARGUMENT		CODE_EUSAGE, "unknown argument '%s'"
#define MSG_ARGUMENT_NEAR	CODE_EUSAGE, "unknown argument '%s': did you mean '--%s'?"
#define MSG_ARGUMENT_NO_VALUE	CODE_EUSAGE, "'%.*s' does not accept a value"
#define MSG_COMMAND		CODE_EUSAGE, "unknown command '%s'"
#define MSG_COMMAND_NEAR	CODE_EUSAGE, "unknown command '%s': did you mean '%s'?"
#define MSG_ARGUMENT_NEEDS	CODE_EUSAGE, "'%s' requires a value"
#define MSG_NO_SOURCE		CODE_EUSAGE, "SOURCE and MOUNTPOINT are missing"
#define MSG_NO_OPERAND		CODE_EUSAGE, "%s is missing"
#define MSG_NO_LAYER_SOURCE	CODE_EUSAGE, "SOURCE is missing"
#define MSG_NO_MOUNTPOINT	CODE_EUSAGE, "MOUNTPOINT is missing"
#define MSG_TOO_MANY		CODE_EUSAGE, "unexpected argument '%s'"
#define MSG_COLUMN		CODE_EUSAGE, "unknown column '%s'"
#define MSG_COLUMN_NEAR		CODE_EUSAGE, "unknown column '%s': did you mean '%s'?"
#define MSG_COLUMNS_MANY	CODE_EUSAGE, "more than %d columns"
#define MSG_ONE_FORM		CODE_EUSAGE, "only one of --json, --prometheus and -o may be given"
#define MSG_EMPTY		CODE_EUSAGE, "%s must not be empty"
#define MSG_TWO_KINDS		CODE_EUSAGE, "only one source of layers is allowed: both %s and %s were given"
#define MSG_CONTAINER_MANY	CODE_EUSAGE, "--container=%s is ambiguous: '%s' and '%s'"
#define MSG_STATE_DIR		CODE_EUSAGE, "--state-dir=%s: %s"
#define MSG_DESCRIPTOR		CODE_EUSAGE, "--%s=%d: %s"
#define MSG_PASS_SOCKET		CODE_EUSAGE, "--pass-mount=%d: not a UNIX stream or seqpacket socket"
#define MSG_PASS_MOUNTPOINT	CODE_EUSAGE, "with --pass-mount MOUNTPOINT must be '-', not '%s'"
#define MSG_LAYER_FDS		CODE_EUSAGE, "--layer-fd may be given at most %d times"
#define MSG_LOWERDIR_EMPTY_PART CODE_EUSAGE, "%s: empty layer path in 'lowerdir=%s'"
#define MSG_LOWERDIR_ORDER	CODE_EUSAGE, "%s: 'lowerdir+=' cannot follow 'lowerdir='"
#define MSG_JSON_READ		CODE_EUSAGE, "%s: %s"
#define MSG_JSON_SIZE		CODE_EUSAGE, "%s is larger than %zu bytes"
#define MSG_MOUNTS_SHAPE	CODE_EUSAGE, "%s: %s"

#define MSG_INDEX_OPEN CODE_EUSAGE, "mount option 'cache': '%s': %s"
#define MSG_INDEX_DIR_UNSAFE                                                                   \
	CODE_EUSAGE, "mount option 'cache': '%s' belongs to another user, or other users may " \
		     "write to it"

/* Valid input that a view cannot serve. */
#define MSG_NO_LAYERS CODE_ENOTAPPLICABLE, "%s holds no layers"
#define MSG_MOUNT_TYPE                                                                       \
	CODE_ENOTAPPLICABLE, "%s: a mount of type '%s' is not served, only 'overlay' and a " \
			     "read-only 'bind'"
#define MSG_BIND_WRITABLE                                                                 \
	CODE_ENOTAPPLICABLE, "%s: the bind of '%s' is writable: a container's own tree, " \
			     "not an image"
#define MSG_DISK_WRITABLE                                                                     \
	CODE_ENOTAPPLICABLE, "SOURCE '%s': a writable %s filesystem on a block device, such " \
			     "as a container's own disk, is not an image"
#define MSG_CONTAINER_NONE                                                                    \
	CODE_ENOTAPPLICABLE, "--container=%s: no such container in the state directories of " \
			     "containerd, k3s, rke2 and docker (--state-dir=… names another one)"
#define MSG_CONTAINER_NONE_IN CODE_ENOTAPPLICABLE, "--container=%s: no such container in '%s'"
#define MSG_CONTAINER_HIDDEN \
	CODE_ENOTAPPLICABLE, "--container=%s: no such container that can be seen: %s"
#define MSG_MANY_MOUNTS	 CODE_ENOTAPPLICABLE, "%s: %zu mounts, but a view can serve only one"
#define MSG_MOUNT_TARGET CODE_ENOTAPPLICABLE, "%s: the mount's target is '%s', not the root"
#define MSG_DATA_LAYERS	 CODE_ENOTAPPLICABLE, "%s: data-only layers are not supported"
#define MSG_RELATIVE_LAYER   \
	CODE_ENOTAPPLICABLE, \
		"%s: layer '%s' is relative, but its base is unknown (give -o basedir=…)"
#define MSG_LAYER_GONE       \
	CODE_ENOTAPPLICABLE, \
		"%s: layer %zu '%s' cannot be opened: %s (mounted in another namespace?)"
#define MSG_LAYER_PROC                                                                             \
	CODE_ENOTAPPLICABLE,                                                                       \
		"%s: layer %zu '%s' leads through /proc, to what another process had open, or in " \
		"a circle"
#define MSG_NOT_SHOWN                                                                              \
	CODE_ENOTAPPLICABLE, "%s: the mounted overlay shows another '%s' than the layers that it " \
			     "names (another "                                                     \
			     "mount covers them, or they lie below another root)"
#define MSG_NOT_COMPARED \
	CODE_ENOTAPPLICABLE, "%s: '%s' cannot be compared with what the mounted overlay shows: %s"
#define MSG_BUNDLE_NOT_MOUNTED CODE_ENOTAPPLICABLE, "bundle '%s': nothing is mounted at '%s'"
#define MSG_BUNDLE_WHOLE_FS                                                              \
	CODE_ENOTAPPLICABLE, "bundle '%s': '%s' is a %s filesystem, which has no layer " \
			     "directories"
#define MSG_NOT_STORED \
	CODE_ENOTAPPLICABLE, "artifact store '%s' lacks %s (viewfsctl store add adds it)"
#define MSG_NOT_STORED_PATH  \
	CODE_ENOTAPPLICABLE, \
		"artifact store '%s' has no answer for '%s' of %s (viewfsctl store add)"
#define MSG_STORE_UNUSABLE CODE_ENOTAPPLICABLE, "artifact store '%s' is not used: %s"
#define MSG_INGEST_TIMEOUT                                                                        \
	CODE_ENOTAPPLICABLE,                                                                      \
		"the image is not added to the artifact store after %u s (-o timeout=…); that " \
		"goes on"
#define MSG_INGEST_FAILED CODE_ESYSTEM, "viewfsctl store add ended without reporting an error"
#define MSG_INGEST_PROGRAM   \
	CODE_ENOTAPPLICABLE, \
		"the image cannot be added to the artifact store, which lacks it: '%s': %s"
#define MSG_NO_STORE_DIRECTORY \
	CODE_ENOTAPPLICABLE,   \
		"without $XDG_CACHE_HOME and $HOME there is no artifact store (-o store=…)"
#define MSG_NOT_A_UNIKERNEL CODE_ENOTAPPLICABLE, "no /urunc.json in %s, and no binary= was given"

/* What to do about it: for view_hint(), after a sentence. */
#define HINT_BUNDLE ": this is an OCI bundle, give --bundle='%s'"
#define HINT_INGEST ": it is being added"
#define HINT_DOCKER                                                                             \
	": this is a directory of docker's, give '%s/merged' while its container runs, or the " \
	"layers as -o lowerdir="
#define HINT_LAYOUT ": this is an OCI layout, give --oci='%s'"
#define HINT_ALLOW_OTHER \
	": '%s' is a FUSE filesystem of another user, who must mount it with -o allow_other"

/* Layers. */
#define MSG_LAYER	CODE_ELAYER, "layer %zu '%s': %s"
#define MSG_LAYERS_MANY CODE_ELAYER, "%zu layers, but a view can have at most %d"
#define MSG_SOURCE   \
	CODE_ELAYER, \
		"SOURCE '%s': %s (give a directory, or a label with -o lowerdir=… or --mounts=…)"
#define MSG_ARTIFACT_LAYER CODE_ELAYER, "%s '%s': a layer failed: %s"

/* Configuration. */
#define MSG_CONFIG_TYPE	 CODE_ECONFIG, "%s: not a regular file"
#define MSG_CONFIG_READ	 CODE_ECONFIG, "%s: %s"
#define MSG_CONFIG_SIZE	 CODE_ECONFIG, "%s is larger than %zu bytes"
#define MSG_CONFIG_SHAPE CODE_ECONFIG, "%s: %s"
#define MSG_CONFIG_VALUE CODE_ECONFIG, "%s: '%s' is not %s"
#define MSG_CONFIG_NEEDS CODE_ECONFIG, "%s: '%s' is missing"

/* Artifacts. */
#define MSG_ARTIFACT_NONE  CODE_ENOARTIFACT, "%s '%s': not in %s"
#define MSG_ARTIFACT_TYPE  CODE_EARTIFACT, "%s '%s': %s, not a regular file"
#define MSG_ARTIFACT_EMPTY CODE_EARTIFACT, "%s '%s' is empty"
#define MSG_ARTIFACT_MARK  CODE_EARTIFACT, "%s '%s': behind a redirect or metacopy mark of overlayfs"
#define MSG_ARTIFACT_PATH  CODE_EARTIFACT, "%s '%s': %s"
#define MSG_ARTIFACT_BELOW CODE_EARTIFACT, "%s '%s' lies below '%s', which is a file"

/* Layer blobs. */
#define MSG_OCI		     CODE_ELAYER, "--oci: '%s' is no OCI layout: %s"
#define MSG_OCI_EMPTY	     CODE_ELAYER, "--oci=%s: the layout has no image"
#define MSG_OCI_NO_REF	     CODE_EUSAGE, "--oci=%s: the layout has no image '%s'"
#define MSG_OCI_REFS	     CODE_EUSAGE, "--oci=%s: the layout has %zu images: name one (LAYOUT:REF)"
#define MSG_CONTENT	     CODE_ENOTAPPLICABLE, "--content=%s: %s"
#define MSG_BLOB	     CODE_ELAYER, "blob %s: %s"
#define MSG_BLOB_NONE	     CODE_ENOTAPPLICABLE, "blob %s is not in the content store"
#define MSG_BLOB_LIMIT	     CODE_ENOTAPPLICABLE, "blob %s: %s"
#define MSG_BLOB_ENTRY	     CODE_ELAYER, "blob %s, entry %zu '%s': %s"
#define MSG_BLOB_ENTRY_LIMIT CODE_ENOTAPPLICABLE, "blob %s, entry %zu '%s': %s"
#define MSG_LAYER_TYPE	     CODE_ENOTAPPLICABLE, "layer %zu: a blob of type '%s' is not supported"
#define MSG_NO_PLATFORM	     CODE_ENOTAPPLICABLE, "the image has no manifest for %s (-o platform=…)"
#define MSG_CHAIN	     CODE_EDIGEST, "the image has the chain id %s, not the one of --chain"

#define MSG_PIN		CODE_EDIGEST, "%s '%s' has the digest %s, not the one of 'digest.%s'"
#define MSG_PIN_NONE	CODE_EDIGEST, "the image has no %s, but 'digest.%s' was given"
#define MSG_PIN_CHANGED CODE_ELAYER, "%s '%s' has changed since its digest was computed"

/* The artifact store. */
#define MSG_NOT_DONE		CODE_ESYSTEM, "not done after %u s (-o timeout=…)"
#define MSG_FAILED_BEFORE(code) (code), "%s (it failed within the last %d minutes)"
#define MSG_TREE		CODE_EUSAGE, "--tree=%s cannot be an image's tree: %s"
#define MSG_TREE_READ		CODE_ELAYER, "'%s' in the tree: %s"
#define MSG_TREE_CHANGED	CODE_ELAYER, "artifact store '%s': the tree changed while it was copied"
#define MSG_STORE		CODE_ESYSTEM, "artifact store '%s': %s"
#define MSG_STORE_UNSAFE                                                                         \
	CODE_ESYSTEM, "artifact store '%s': it, or a directory in it, belongs to another user, " \
		      "or other users have access to it"
#define MSG_STORE_SPACE                                                                          \
	CODE_ESYSTEM, "artifact store '%s': no room: -o store-size= is reached, or less than a " \
		      "tenth of the filesystem would stay free"
#define MSG_STORE_BUSY	 CODE_ESYSTEM, "artifact store '%s': another process removes files; try again"
#define MSG_STORE_ADDING CODE_ESYSTEM, "artifact store '%s': another process adds the image already"
#define MSG_STORE_WAIT \
	CODE_ESYSTEM,  \
		"artifact store '%s': another process adds the image, and is not done after %u s"
#define MSG_STORE_PATHS CODE_ENOTAPPLICABLE, "artifact store '%s': more than %d paths of one image"

/* The mountpoint. */
#define MSG_MOUNTPOINT CODE_EMOUNT, "mountpoint '%s': %s"
#define MSG_VIEW_HANGS \
	CODE_EMOUNT, "mountpoint '%s': the view that is mounted there does not answer"
#define MSG_MOUNTPOINT_CHANGED \
	CODE_EMOUNT, "mountpoint '%s': moved, replaced or covered while mounting"
#define MSG_LIVE_VIEW	    CODE_EMOUNT, "mountpoint '%s': a live view is mounted there already"
#define MSG_NOT_A_VIEW	    CODE_EMOUNT, "'%s' is not a view: a filesystem of type %s is mounted there"
#define MSG_UNMOUNT	    CODE_EMOUNT, "unmount '%s': %s"
#define MSG_UNMOUNT_TIMEOUT CODE_EMOUNT, "unmount '%s': timed out after %d s looking up the path"
#define MSG_STAYS	    CODE_EMOUNT, "end view '%s': process %d: %s"
#define MSG_GOES_ON	    CODE_EMOUNT, "unmount '%s': unmounted, but its process %d has not ended: %s"
#define MSG_MOUNT	    CODE_EMOUNT, "mount on '%s': %s"
#define MSG_HANDSHAKE	    CODE_EMOUNT, "mount on '%s': FUSE handshake failed: %s"

#define MSG_NO_PASSTHROUGH \
	CODE_EMOUNT, "mount on '%s': passthrough=on, but passthrough is not available: %s"
#define MSG_NO_PASSTHROUGH_OF \
	CODE_EMOUNT, "mount on '%s': passthrough=on, but '%s' cannot be passed through: %s"

/* Upgrading a view. */
#define MSG_UPGRADE	 CODE_EMOUNT, "upgrade '%s': %s"
#define MSG_UPGRADE_NONE CODE_EMOUNT, "upgrade '%s': no view has that id"
#define MSG_PROGRAM	 CODE_ESYSTEM, "--binary=%s: %s"
#define MSG_NOT_UPGRADED CODE_EMOUNT, "not upgraded: %s"
#define MSG_STATE_NONE	 CODE_EMOUNT, "the view's state is damaged"
#define MSG_STATE_VERSION                                                                       \
	CODE_EMOUNT, "the view's state has version %llu, and the program knows versions %d to " \
		     "%d: mount the view again to upgrade it"
#define MSG_STATE_DIFFERS CODE_EMOUNT, "the view's state is that of another connection"
#define MSG_NO_RESEND                                                                          \
	CODE_EMOUNT, "this kernel cannot send requests again that a process left unanswered: " \
		     "Linux 6.9 can"
#define MSG_TAKEOVER CODE_EMOUNT, "taking over: %s: %s"

/* Of any input, with the code that goes with it. */
#define MSG_NOT_JSON "%s is not JSON: %s at byte %zu"

/* The machine. */
#define MSG_NO_MEMORY CODE_ESYSTEM, "out of memory"
#define MSG_SYSTEM    CODE_ESYSTEM, "%s: %s"
#define MSG_MARKS                                                                                  \
	CODE_ESYSTEM, "trusted.overlay.* marks cannot be read, and deleted files would reappear: " \
		      "run as root "                                                               \
		      "in the initial user namespace, or give -o userxattr"
#define MSG_NO_PRIVILEGE \
	CODE_ESYSTEM, "mount on '%s': requires CAP_SYS_ADMIN or fusermount3, which failed: %s"
#define MSG_NAMESPACE                                                                         \
	CODE_ESYSTEM, "%s: urunc-viewfs cannot run in that namespace: %s (are its libraries " \
		      "there?)"
#define MSG_NO_SANDBOX CODE_ESYSTEM, "sandbox=require, but %s is not available: %s"
#define MSG_NO_PROC    CODE_ESYSTEM, "/proc is not mounted"
#define MSG_TIMEOUT    CODE_ESYSTEM, "not ready after %u s (-o timeout=…)"
#define MSG_INDEX      CODE_ESYSTEM, "layer index '%s': %s"
#define MSG_INDEX_UNSAFE \
	CODE_ESYSTEM, "layer index '%s' belongs to another user, or other users may write to it"
#define MSG_INDEX_REMOVE   CODE_ESYSTEM, "layer index '%s': entry %s: %s"
#define MSG_INTERRUPTED	   CODE_ESYSTEM, "interrupted"
#define MSG_NOT_WATCHED	   CODE_ESYSTEM, "the view cannot be watched: %s"
#define MSG_RELEASED	   CODE_ESYSTEM, "--lifeline=%d: closed before the view was ready"
#define MSG_PASS_PRIVILEGE CODE_ESYSTEM, "--pass-mount requires CAP_SYS_ADMIN"
#define MSG_READY_FD	   CODE_ESYSTEM, "--%s=%d: the line cannot be written: %s"
#define MSG_PROCESS_1 \
	CODE_ESYSTEM, \
		"as process 1 of a PID namespace, whose end ends all others, only -f is possible"
#define MSG_SERVER_DIED CODE_BUG, "the view's process exited before it was ready: %s"
