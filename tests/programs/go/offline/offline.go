// Package offline imports the modules of the program in docs/how-to/verify-tokens-offline.md, so that go.mod requires them
// and the program is compiled without a network.
package offline

import (
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "golang.org/x/oauth2/clientcredentials"
)
