# SPDX-License-Identifier: Apache-2.0
# bash completion for urunc-viewfs(8), mount.urunc-viewfs(8) and viewfsctl(8)

# What readline replaces begins behind its last word break; it breaks at = and : too.
_viewfs_reply() { # PREFIX WORDS DIRECTORY
	local broken=${1%"${1##*[=:]}"} rest=${cur#"$1"}
	COMPREPLY=($(compgen -P "$1" -W "$2" -- "$rest"))
	[[ -z ${3:-} ]] || {
		COMPREPLY=($(compgen -P "$1" -d -- "$rest"))
		compopt -o filenames -o nospace
	}
	COMPREPLY=("${COMPREPLY[@]#"$broken"}")
	[[ ${COMPREPLY[0]:-} != *[=] ]] || compopt -o nospace
}

_viewfs_mount_options() {
	local before=${cur%"${cur##*,}"} option=${cur##*,}
	case $option in
	lowerdir=* | lowerdir+=*) _viewfs_reply "$before${option%"${option##*[=:]}"}" "" directory ;;
	basedir=*) _viewfs_reply "${before}basedir=" "" directory ;;
	store=*) _viewfs_reply "${before}store=" "" directory ;;
	cache=/*) _viewfs_reply "${before}cache=" "" directory ;;
	cache=*) _viewfs_reply "${before}cache=" "none" ;;
	resolve=*) _viewfs_reply "${before}resolve=" "lazy ready" ;;
	decode=*) _viewfs_reply "${before}decode=" "strict auto" ;;
	passthrough=*) _viewfs_reply "${before}passthrough=" "auto on off" ;;
	survive=*) _viewfs_reply "${before}survive=" "off on" ;;
	sandbox=*) _viewfs_reply "${before}sandbox=" "auto require" ;;
	ingest=*) _viewfs_reply "${before}ingest=" "later wait no" ;;
	toc=*) _viewfs_reply "${before}toc=" "auto off" ;;
	*=*) ;;
	*)
		_viewfs_reply "$before" "lowerdir= lowerdir+= userxattr binary= initrd= timeout= resolve=
			decode= passthrough= sandbox= survive= digest.binary= digest.initrd= digest.config= cache= store= store-size= uid= gid= mode= ingest= toc=
			platform= basedir= id= uidmap= gidmap="
		;;
	esac
}

# What a long option takes. Returns: 1 where the word is none's value.
_viewfs_value() {
	case $prev in
	-o) _viewfs_mount_options ;;
	-N | --mounts) _filedir ;;
	--bundle | --state-dir | --tree | --oci | --content) _filedir -d ;;
	--log-format) COMPREPLY=($(compgen -W "text json" -- "$cur")) ;;
	--version) COMPREPLY=($(compgen -W "json" -- "$cur")) ;;
	--log-level) COMPREPLY=($(compgen -W "error warn info debug" -- "$cur")) ;;
	--ready-fd | --lifeline | --pass-mount | --id | --container | --chain | --manifest | -t) ;;
	*) return 1 ;;
	esac
}

_viewfs_words() { # OPTIONS
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$1" -- "$cur"))
		[[ ${COMPREPLY[0]:-} != *= ]] || compopt -o nospace
	else
		_filedir -d
	fi
}

_urunc_viewfs() {
	local cur prev words cword split
	_init_completion -s -n =: || return
	_viewfs_value && return
	_viewfs_words "-o -f --foreground --mounts= --bundle= --container= --state-dir= --layer-fd= --chain=
		--oci= --content= --manifest= --ready-fd= --lifeline= --pass-mount= --id= --log-format= --log-level=
		-h --help -V --version"
}

_mount_urunc_viewfs() {
	local cur prev words cword split
	_init_completion -s -n =: || return
	_viewfs_value && return
	_viewfs_words "-s -f -n -v -N -o -t -h --help"
}

_viewfsctl() {
	local cur prev words cword split
	_init_completion -s -n =: || return
	if ((cword == 1)); then
		COMPREPLY=($(compgen -W "resolve list umount upgrade gc index store doctor -h --help -V --version" -- "$cur"))
		return
	fi
	[[ ${words[1]} == list && $prev == -o ]] || ! _viewfs_value || return
	case ${words[1]} in
	resolve) _viewfs_words "--json --digest -o --mounts= --bundle= --container= --state-dir=
		--layer-fd= --chain= --oci= --content= --manifest= -h --help -V --version" ;;
	list)
		if [[ $prev == -o ]]; then
			local before=${cur%"${cur##*,}"}
			_viewfs_reply "$before" "MOUNTPOINT ID PID STATE PASSTHROUGH LAYERS MEMORY SANDBOX SURVIVES
				MISSING ARTIFACTS LABEL ROOT DEVICE OWNER VERSION GENERATION"
			return
		fi
		_viewfs_words "--json --prometheus --all --id= --container= --state-dir= -o -h --help -V --version"
		;;
	umount)
		if [[ $cur == -* ]]; then
			_viewfs_words "--id= -h --help -V --version"
		else
			COMPREPLY=($(compgen -W "$(findmnt -rno TARGET -t fuse.urunc-viewfs)" -- "$cur"))
		fi
		;;
	upgrade) _viewfs_words "--all --binary= --json -o -h --help -V --version" ;;
	gc) _viewfs_words "--dry-run -o -h --help -V --version" ;;
	index | cache)
		if [[ $cur == -* ]] || ((cword > 2)); then
			_viewfs_words "--json -o -h --help -V --version"
		else
			COMPREPLY=($(compgen -W "list verify clear" -- "$cur"))
		fi
		;;
	store)
		if [[ $cur == -* ]] || ((cword > 2)); then
			_viewfs_words "--chain= --tree= --oci= --content= --manifest= --bundle= --repair -o --json --syslog -h --help -V --version"
		else
			COMPREPLY=($(compgen -W "add list verify clear" -- "$cur"))
		fi
		;;
	doctor) _viewfs_words "--json -h --help -V --version" ;;
	esac
}

complete -F _urunc_viewfs urunc-viewfs
complete -F _mount_urunc_viewfs mount.urunc-viewfs mount.fuse.urunc-viewfs mount.fuse3.urunc-viewfs
complete -F _viewfsctl viewfsctl
