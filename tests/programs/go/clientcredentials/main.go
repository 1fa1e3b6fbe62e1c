// Gets tokens for a client itself as applications with golang.org/x/oauth2/clientcredentials do, and calls an API with
// them. Reads one JSON object from standard input and prints what the library saw.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type input struct {
	Issuer       string `json:"issuer"`
	API          string `json:"api"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// documented: docs/how-to/authenticate-applications.md
func newConfig(issuer, id, secret string) *clientcredentials.Config {
	return &clientcredentials.Config{
		ClientID:       id,
		ClientSecret:   secret,
		TokenURL:       issuer + "/api/v1/auth/token",
		Scopes:         []string{"orders:read"},
		EndpointParams: url.Values{"resource": {"https://api.example.com"}},
	}
}

// end

func token(config *clientcredentials.Config) map[string]any {
	token, err := config.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return map[string]any{"access_token": token.AccessToken, "scope": token.Extra("scope")}
}

func refusal(config *clientcredentials.Config) map[string]any {
	_, err := config.Token(context.Background())
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		log.Fatalf("not refused: %v", err)
	}
	return map[string]any{"error": retrieve.ErrorCode, "status": retrieve.Response.StatusCode}
}

func call(client *http.Client, api string) int {
	response, err := client.Get(api)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func main() {
	var wanted input
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		log.Fatal(err)
	}
	config := func(secret string, change func(*clientcredentials.Config)) *clientcredentials.Config {
		config := newConfig(wanted.Issuer, wanted.ClientID, secret)
		change(config)
		return config
	}
	style := func(style oauth2.AuthStyle) func(*clientcredentials.Config) {
		return func(config *clientcredentials.Config) { config.AuthStyle = style }
	}
	documented := newConfig(wanted.Issuer, wanted.ClientID, wanted.ClientSecret)
	seen := map[string]any{
		"basic":        token(config(wanted.ClientSecret, style(oauth2.AuthStyleInHeader))),
		"post":         token(config(wanted.ClientSecret, style(oauth2.AuthStyleInParams))),
		"called":       call(documented.Client(context.Background()), wanted.API),
		"wrong_secret": refusal(config("NeverLogged, and wrong", style(oauth2.AuthStyleInHeader))),
		"more_scopes": refusal(config(wanted.ClientSecret, func(config *clientcredentials.Config) {
			config.Scopes = []string{"admin"}
		})),
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		log.Fatal(err)
	}
}
