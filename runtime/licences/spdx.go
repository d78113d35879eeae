package licences

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that are used: spdx.github.io/spdx-spec/v2.3.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	ID                string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creation       `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Extracted         []extracted    `json:"hasExtractedLicensingInfos,omitempty"`
	Relationships     []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID              string      `json:"SPDXID"`
	Name            string      `json:"name"`
	Version         string      `json:"versionInfo,omitempty"`
	Download        string      `json:"downloadLocation"`
	FilesAnalyzed   bool        `json:"filesAnalyzed"`
	Concluded       string      `json:"licenseConcluded"`
	Declared        string      `json:"licenseDeclared"`
	LicenceComments string      `json:"licenseComments,omitempty"`
	CopyrightText   string      `json:"copyrightText"`
	ExternalRefs    []reference `json:"externalRefs,omitempty"`
	PrimaryPurpose  string      `json:"primaryPackagePurpose,omitempty"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type extracted struct {
	ID   string `json:"licenseId"`
	Text string `json:"extractedText"`
	Name string `json:"name"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// SPDX writes the bill of materials of the program: each part with its version,
// its licence and, for a module of Go, where the registries know it.
func (b Build) SPDX(w io.Writer, created time.Time) error {
	const self = "SPDXRef-DOCUMENT"
	d := document{SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: self, Name: b.Program + "-" + b.Version,
		CreationInfo: creation{created.UTC().Format(time.RFC3339), []string{"Tool: " + b.Program + " licences"}}}
	sum := sha256.New()
	root := ""
	for _, p := range b.Parts() {
		s := spdxPackage{ID: "SPDXRef-" + notInID.ReplaceAllString(p.Name, "-"), Name: p.Name, Version: b.version(p), Download: "NOASSERTION",
			Concluded: p.Licence, Declared: p.Licence, LicenceComments: p.Terms, CopyrightText: p.Copyright}
		if s.CopyrightText == "" {
			s.CopyrightText = "NOASSERTION"
		}
		if p.Module() {
			s.ExternalRefs = []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + p.Name + "@" + s.Version}}
		}
		for id := range strings.FieldsSeq(p.Licence) {
			if strings.HasPrefix(id, "LicenseRef-") {
				d.Extracted = append(d.Extracted, extracted{id, p.Text(), strings.TrimPrefix(id, "LicenseRef-")})
			}
		}
		if p.Name == "mien" {
			s.Name, s.PrimaryPurpose, root = b.Program, "APPLICATION", s.ID
			d.Relationships = append(d.Relationships, relationship{self, "DESCRIBES", root})
		} else {
			d.Relationships = append(d.Relationships, relationship{root, "CONTAINS", s.ID})
		}
		d.Packages = append(d.Packages, s)
		sum.Write([]byte(s.ID + "@" + s.Version + "\n"))
	}
	// A name that no other document has: of what is in it.
	d.DocumentNamespace = "https://mien.invalid/spdx/" + d.Name + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(d)
}
