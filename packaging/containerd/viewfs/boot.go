// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"encoding/base64"
	"path"
	"regexp"
	"strings"
)

const annotationPrefix = "com.urunc.unikernel."

var pathRule = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

// BootOptions gives the mount options for urunc's annotations, by urunc's rule: all or nothing.
// Where type, hypervisor and binary are all there they are the configuration, and /urunc.json of the
// image does not count; else they are ignored. urunc 0.7 decodes them from base64, and its main does
// not: what decodes to a path that urunc allows was meant encoded.
func BootOptions(annotations map[string]string) []string {
	for _, name := range []string{"unikernelType", "hypervisor", "binary"} {
		if annotations[annotationPrefix+name] == "" {
			return nil
		}
	}
	options := []string{"binary=" + escape(bootPath(annotations[annotationPrefix+"binary"]))}
	if initrd := annotations[annotationPrefix+"initrd"]; initrd != "" {
		options = append(options, "initrd="+escape(bootPath(initrd)))
	}
	return options
}

func bootPath(value string) string {
	decoded, err := base64.StdEncoding.DecodeString(value)
	if err == nil && isBootPath(string(decoded)) {
		return string(decoded)
	}
	return value
}

// isBootPath is urunc's rule for a path of the image.
func isBootPath(name string) bool {
	return len(name) <= 4096 && pathRule.MatchString(name) && path.Clean(name) == name &&
		!strings.HasPrefix(name, "..") && !strings.HasPrefix(name, "-") && name != "." && name != "/"
}

// escape makes a value part of a list of mount options.
func escape(value string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(value)
}
