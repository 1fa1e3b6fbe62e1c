// Logs in and refreshes as applications with golang.org/x/oauth2 do. Reads one JSON object from standard input and
// prints what the library saw.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	"golang.org/x/oauth2"
)

type input struct {
	API      string `json:"api"`
	Username string `json:"username"`
	Password string `json:"password"`
}

type refusal struct {
	Error  string `json:"error"`
	Status int    `json:"status"`
}

func refused(_ *oauth2.Token, err error) refusal {
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		log.Fatalf("not refused: %v", err)
	}
	return refusal{Error: retrieve.ErrorCode, Status: retrieve.Response.StatusCode}
}

func main() {
	var wanted input
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	endpoint := oauth2.Endpoint{TokenURL: wanted.API + "/api/v1/auth/token", AuthStyle: oauth2.AuthStyleInParams}
	web := oauth2.Config{ClientID: "web", Endpoint: endpoint}
	token, err := web.PasswordCredentialsToken(ctx, wanted.Username, wanted.Password)
	if err != nil {
		log.Fatal(err)
	}
	seen := map[string]any{
		"token_type":      token.TokenType,
		"wrong_password":  refused(web.PasswordCredentialsToken(ctx, wanted.Username, "wrong")),
		"refused_refresh": refused(web.TokenSource(ctx, &oauth2.Token{RefreshToken: "nonsense"}).Token()),
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		log.Fatal(err)
	}
}
