// SPDX-License-Identifier: Apache-2.0

// table-maker zstd:chunked|estargz IN.tar OUT: a layer blob with a table of contents, as the
// programs make it that such blobs come from; it writes the annotations as JSON.
package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containers/storage/pkg/chunked/compressor"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func chunked(in *os.File, out io.Writer) map[string]string {
	annotations := map[string]string{}
	level := 3
	writer, err := compressor.ZstdCompressor(out, annotations, &level)
	must(err)
	_, err = io.Copy(writer, in)
	must(err)
	must(writer.Close())
	return annotations
}

func stargz(in *os.File, out io.Writer) map[string]string {
	stat, err := in.Stat()
	must(err)
	blob, err := estargz.Build(io.NewSectionReader(in, 0, stat.Size()), estargz.WithChunkSize(4096))
	must(err)
	_, err = io.Copy(out, blob)
	must(err)
	return map[string]string{estargz.TOCJSONDigestAnnotation: blob.TOCDigest().String()}
}

func main() {
	in, err := os.Open(os.Args[2])
	must(err)
	out, err := os.Create(os.Args[3])
	must(err)
	make := map[string]func(*os.File, io.Writer) map[string]string{
		"zstd:chunked": chunked,
		"estargz":      stargz,
	}[os.Args[1]]
	must(json.NewEncoder(os.Stdout).Encode(make(in, out)))
}
