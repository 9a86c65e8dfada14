# SPDX-License-Identifier: Apache-2.0
# fish completion for urunc-viewfs(8), mount.urunc-viewfs(8) and viewfsctl(8)

function __viewfs_mount_options
    echo -e "lowerdir=\tThe layers, topmost first
lowerdir+=\tOne more layer below
userxattr\tOverlay marks are user.overlay.*
binary=\tThe unikernel, in place of the image's own
initrd=\tThe initrd, in place of the image's own
timeout=\tGive up mounting after this time
resolve=lazy\tFind an artifact at its first lookup
resolve=ready\tFind the artifacts before the mount is announced
decode=strict\tValues of urunc.json are base64
decode=auto\tValues of urunc.json may be plain text, too
passthrough=auto\tThe kernel reads the layer's file directly if it can
passthrough=on\tFail where the kernel cannot do so
passthrough=off\tServe all reads from the process
sandbox=auto\tAs many measures as the kernel supports
sandbox=require\tFail unless all measures are in force
digest.binary=\tDigest that the unikernel must have
digest.initrd=\tDigest that the initrd must have
digest.config=\tDigest that urunc.json must have
survive=off\tA view ends with its process
survive=on\tA second process takes over if the first is killed
cache=\tWhere what is learned about layers is kept
cache=none\tDo not keep what is learned about layers
store=\tDirectory of the artifact store
store-size=\tHow large the store may grow
uid=\tForce the owner of the artifacts
gid=\tForce the group of the artifacts
mode=\tForce their permission bits
ingest=later\tAdd an image that the store lacks in the background
ingest=wait\tAdd it and wait for it
ingest=no\tDo not add it
toc=auto\tUse the table of contents of a layer
toc=off\tDo not use it
platform=\tWhich manifest of an index counts
basedir=\tWhat relative layer paths are relative to
id=\tContainer id
uidmap=\tShow the owners mapped
gidmap=\tShow the groups mapped"
end

function __viewfs_mountpoints
    findmnt -rno TARGET -t fuse.urunc-viewfs 2>/dev/null
end

for command in urunc-viewfs mount.urunc-viewfs mount.fuse.urunc-viewfs mount.fuse3.urunc-viewfs
    complete -c $command -x -s o -d 'Mount options' -a '(__fish_append , (__viewfs_mount_options))'
    complete -c $command -s h -l help -d 'Print a summary'
end

complete -c urunc-viewfs -s f -l foreground -d 'Stay in the foreground'
complete -c urunc-viewfs -r -F -l mounts -d "containerd's mounts as JSON"
complete -c urunc-viewfs -x -l layer-fd -d 'A layer that is open'
complete -c urunc-viewfs -x -l bundle -a '(__fish_complete_directories)' -d 'An OCI bundle'
complete -c urunc-viewfs -x -l container -d 'A running container'
complete -c urunc-viewfs -x -l state-dir -a '(__fish_complete_directories)' \
    -d "containerd's state directory"
complete -c urunc-viewfs -x -l chain -d 'An image in the artifact store'
complete -c urunc-viewfs -x -l oci -a '(__fish_complete_directories)' -d 'An OCI layout'
complete -c urunc-viewfs -x -l content -a '(__fish_complete_directories)' \
    -d "containerd's content store"
complete -c urunc-viewfs -x -l manifest -d 'The manifest in the content store'
complete -c urunc-viewfs -x -l ready-fd -d 'Write a line of JSON there when ready or failed'
complete -c urunc-viewfs -x -l pass-mount -d 'Send the mount over that UNIX socket'
complete -c urunc-viewfs -x -l lifeline -d 'End the view when that descriptor closes'
complete -c urunc-viewfs -x -l id -d 'Container id'
complete -c urunc-viewfs -x -l log-format -a 'text json' -d 'Format of the log'
complete -c urunc-viewfs -x -l log-level -a 'error warn info debug' -d 'Least level of the log'
complete -c urunc-viewfs -s V -l version -d 'Print the version'

for command in mount.urunc-viewfs mount.fuse.urunc-viewfs mount.fuse3.urunc-viewfs
    complete -c $command -s s -d 'Pass over unknown mount options'
    complete -c $command -s f -d 'Check the mount options, mount nothing'
    complete -c $command -s n -d 'Do not write what umount keeps'
    complete -c $command -s v -d 'Say what is run'
    complete -c $command -r -F -s N -d 'Mount in the mount namespace of this file'
    complete -c $command -x -s t -a 'urunc-viewfs fuse.urunc-viewfs fuse3.urunc-viewfs' -d Accepted
end

set -l commands resolve list umount upgrade gc index store doctor
set -l first "not __fish_seen_subcommand_from $commands"
complete -c viewfsctl -f
complete -c viewfsctl -s h -l help -d 'Print a summary'
complete -c viewfsctl -s V -l version -d 'Print the version'
complete -c viewfsctl -n "$first" -a resolve -d 'What a view of a source would hold'
complete -c viewfsctl -n "$first" -a list -d 'The views that are mounted here'
complete -c viewfsctl -n "$first" -a umount -d 'Unmount views, dead or alive'
complete -c viewfsctl -n "$first" -a upgrade -d 'Let the installed program take over views'
complete -c viewfsctl -n "$first" -a gc -d 'Remove dead views and useless index entries'
complete -c viewfsctl -n "$first" -a index -d 'The shared layer index'
complete -c viewfsctl -n "$first" -a store -d 'The artifact store'
complete -c viewfsctl -n "$first" -a doctor -d 'What prevents views from working here'

set -l resolve '__fish_seen_subcommand_from resolve'
complete -c viewfsctl -n $resolve -l json -d 'One JSON object instead of a table'
complete -c viewfsctl -n $resolve -l digest -d 'SHA-256 of every artifact, too'
complete -c viewfsctl -n $resolve -x -s o -d 'Mount options' \
    -a '(__fish_append , (__viewfs_mount_options))'
complete -c viewfsctl -n $resolve -r -F -l mounts -d "containerd's mounts as JSON"
complete -c viewfsctl -n $resolve -x -l layer-fd -d 'A layer that is open'
complete -c viewfsctl -n $resolve -x -l bundle -a '(__fish_complete_directories)' -d 'An OCI bundle'
complete -c viewfsctl -n '__fish_seen_subcommand_from resolve list' -x -l container \
    -d 'A running container'
complete -c viewfsctl -n '__fish_seen_subcommand_from resolve list' -x -l state-dir \
    -a '(__fish_complete_directories)' -d "containerd's state directory"
complete -c viewfsctl -n $resolve -x -l chain -d 'An image in the artifact store'
complete -c viewfsctl -n $resolve -x -l oci -a '(__fish_complete_directories)' -d 'An OCI layout'
complete -c viewfsctl -n $resolve -x -l content -a '(__fish_complete_directories)' \
    -d "containerd's content store"
complete -c viewfsctl -n $resolve -x -l manifest -d 'The manifest in the content store'
complete -c viewfsctl -n $resolve -a '(__fish_complete_directories)'

complete -c viewfsctl -n '__fish_seen_subcommand_from list upgrade index cache doctor' -l json \
    -d 'One JSON object instead of a table'
set -l list '__fish_seen_subcommand_from list'
set -l columns MOUNTPOINT ID PID STATE PASSTHROUGH LAYERS MEMORY SANDBOX SURVIVES MISSING ARTIFACTS \
    LABEL ROOT DEVICE OWNER VERSION GENERATION
complete -c viewfsctl -n $list -l prometheus -d 'Metrics for node_exporter'
complete -c viewfsctl -n $list -l all -d 'Also views that no mount of this namespace leads to'
complete -c viewfsctl -n $list -x -s o -d Columns -a "(__fish_append , $columns)"
complete -c viewfsctl -n '__fish_seen_subcommand_from list umount' -x -l id -d 'Views of this id'
complete -c viewfsctl -n '__fish_seen_subcommand_from umount' -a '(__viewfs_mountpoints)'
complete -c viewfsctl -n '__fish_seen_subcommand_from upgrade gc index cache' -x -s o -d 'Mount options' \
    -a '(__fish_append , (__viewfs_mount_options))'
complete -c viewfsctl -n '__fish_seen_subcommand_from upgrade' -l all -d 'All views'
complete -c viewfsctl -n '__fish_seen_subcommand_from upgrade' -r -F -l binary -d 'Another program'
complete -c viewfsctl -n '__fish_seen_subcommand_from gc' -l dry-run \
    -d 'Only say what would be removed'
complete -c viewfsctl -n '__fish_seen_subcommand_from index cache' -a 'list verify clear'
complete -c viewfsctl -n '__fish_seen_subcommand_from index cache' -a '(__fish_complete_directories)'

set -l store '__fish_seen_subcommand_from store'
complete -c viewfsctl -n $store -x -l chain -d 'The chain id of the image'
complete -c viewfsctl -n $store -x -l tree -a '(__fish_complete_directories)' \
    -d 'The image as it is unpacked'
complete -c viewfsctl -n $store -x -l oci -a '(__fish_complete_directories)' -d 'An OCI layout'
complete -c viewfsctl -n $store -x -l content -a '(__fish_complete_directories)' \
    -d "containerd's content store"
complete -c viewfsctl -n $store -x -l manifest -d 'The manifest in the content store'
complete -c viewfsctl -n $store -x -l bundle -a '(__fish_complete_directories)' \
    -d 'An OCI bundle, for its annotations'
complete -c viewfsctl -n $store -x -s o -d 'Mount options' \
    -a '(__fish_append , (__viewfs_mount_options))'
complete -c viewfsctl -n $store -l json -d 'JSON lines'
complete -c viewfsctl -n $store -l syslog -d 'Errors to the system log'
complete -c viewfsctl -n $store -l repair -d 'Remove what is damaged'
complete -c viewfsctl -n $store -a 'add list verify clear'
