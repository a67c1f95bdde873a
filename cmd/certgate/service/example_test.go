package service_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/certgate/certgate/cmd/certgate/service"
)

// A service that greets the client. A request that does not come from the gateway has no
// assertion and is refused, although it names a client.
func Example() {
	gateway := httptest.NewServer(http.NotFoundHandler()) // in place of the gateway
	defer gateway.Close()

	verifier, err := service.New(service.Options{
		KeySetURL: gateway.URL + "/.well-known/jwks.json", Issuer: "https://gateway.example", Audience: "schedule",
		OnRefusal: func(_ *http.Request, err error) { fmt.Println("log:", err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	schedule := httptest.NewServer(verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _ := service.Client(r.Context())
		fmt.Fprintln(w, "Hello", client.Name)
	})))
	defer schedule.Close()

	request, err := http.NewRequest(http.MethodGet, schedule.URL+"/events", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("X-Client-Id", "mail")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output:
	// log: assertion_missing: want one X-Client-Assertion, found none
	// 401 Unauthorized
}
