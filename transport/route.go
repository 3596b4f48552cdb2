package transport

// resource is what a path names.
type resource uint8

const (
	noResource resource = iota
	resAccounts
	resAccount
	resEntries
	resPayments
	resBatch
	resPayment
	resCapture
	resVoid
	resRefund
	resKey
	resources
)

// operation is a method on a resource; HEAD is the operation of GET.
type operation uint8

const (
	opUnmatched operation = iota // unknown path, wrong method, or unreadable request
	opListAccounts
	opPutAccount
	opGetAccount
	opPatchAccount
	opListEntries
	opPay
	opBatch
	opGetPayment
	opCapture
	opVoid
	opRefund
	opGetKey
	operations
)

// paths name each resource; allows list its methods for the header Allow.
var (
	paths = [resources]string{
		noResource:  "other",
		resAccounts: "/v1/accounts",
		resAccount:  "/v1/accounts/{id}",
		resEntries:  "/v1/accounts/{id}/entries",
		resPayments: "/v1/payments",
		resBatch:    "/v1/payments/batch",
		resPayment:  "/v1/payments/{id}",
		resCapture:  "/v1/payments/{id}/capture",
		resVoid:     "/v1/payments/{id}/void",
		resRefund:   "/v1/payments/{id}/refund",
		resKey:      "/v1/idempotency-keys/{key}",
	}
	allows = [resources]string{
		resAccounts: "GET, HEAD",
		resAccount:  "GET, HEAD, PATCH, PUT",
		resEntries:  "GET, HEAD",
		resPayments: "POST",
		resBatch:    "POST",
		resPayment:  "GET, HEAD",
		resCapture:  "POST",
		resVoid:     "POST",
		resRefund:   "POST",
		resKey:      "GET, HEAD",
	}
)

// endpoint is how one operation is served.
type endpoint struct {
	resource resource
	method   string
	write    bool // can change something
	lane     bool // can be served in a lane: it takes little and waits only by await
	serve    func(*Server, *call)
}

var endpoints = [operations]endpoint{
	opUnmatched:    {noResource, "other", false, false, nil},
	opListAccounts: {resAccounts, "GET", false, false, (*Server).listAccounts},
	opPutAccount:   {resAccount, "PUT", true, true, (*Server).putAccount},
	opGetAccount:   {resAccount, "GET", false, true, (*Server).getAccount},
	opPatchAccount: {resAccount, "PATCH", true, true, (*Server).patchAccount},
	opListEntries:  {resEntries, "GET", false, false, (*Server).listEntries},
	opPay:          {resPayments, "POST", true, true, (*Server).pay},
	opBatch:        {resBatch, "POST", true, false, (*Server).payBatch},
	opGetPayment:   {resPayment, "GET", false, false, (*Server).getPayment},
	opCapture:      {resCapture, "POST", true, true, (*Server).capture},
	opVoid:         {resVoid, "POST", true, true, (*Server).void},
	opRefund:       {resRefund, "POST", true, true, (*Server).refund},
	opGetKey:       {resKey, "GET", false, false, (*Server).getKey},
}

// pick returns the operation of method on res, opUnmatched if it has none.
func pick(res resource, method []byte) operation {
	if string(method) == "HEAD" {
		method = methodGet
	}
	for op := opUnmatched + 1; op < operations; op++ {
		if e := &endpoints[op]; e.resource == res && e.method == string(method) {
			return op
		}
	}
	return opUnmatched
}

var methodGet = []byte("GET")

// splitTarget returns the path and the query of a request target as sent,
// without decoding anything. Of an absolute-form target it drops scheme and host.
func splitTarget(target []byte) (path, query []byte) {
	if len(target) > 0 && target[0] != '/' {
		target = dropOrigin(target)
	}
	for i, b := range target {
		if b == '?' {
			return target[:i], target[i+1:]
		}
	}
	return target, nil
}

// dropOrigin returns what follows scheme://authority.
func dropOrigin(target []byte) []byte {
	slashes := 0
	for i, b := range target {
		if b == '/' {
			slashes++
		}
		if slashes == 3 {
			return target[i:]
		}
	}
	return nil
}

// resolve returns what path names, and the part of it that stands for {id} or
// {key}, still percent-encoded. A path in which that part is empty names nothing.
func resolve(path []byte) (resource, []byte) {
	collection, rest := cutSegment(path, "/v1/")
	switch string(collection) {
	case "accounts":
		return resolveAccount(rest)
	case "payments":
		return resolvePayment(rest)
	case "idempotency-keys":
		if key, more := cutSegment(rest, "/"); len(key) > 0 && more == nil {
			return resKey, key
		}
	}
	return noResource, nil
}

func resolveAccount(rest []byte) (resource, []byte) {
	if rest == nil {
		return resAccounts, nil
	}
	id, more := cutSegment(rest, "/")
	switch {
	case len(id) == 0:
	case more == nil:
		return resAccount, id
	case string(more) == "/entries":
		return resEntries, id
	}
	return noResource, nil
}

func resolvePayment(rest []byte) (resource, []byte) {
	if rest == nil {
		return resPayments, nil
	}
	id, more := cutSegment(rest, "/")
	switch {
	case len(id) == 0:
	case more == nil && string(id) == "batch":
		return resBatch, nil
	case more == nil:
		return resPayment, id
	case string(more) == "/capture":
		return resCapture, id
	case string(more) == "/void":
		return resVoid, id
	case string(more) == "/refund":
		return resRefund, id
	}
	return noResource, nil
}

// cutSegment drops prefix from path and splits the rest before its next slash.
// segment is nil when path does not start with prefix; rest is nil when no slash
// follows.
func cutSegment(path []byte, prefix string) (segment, rest []byte) {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return nil, nil
	}
	path = path[len(prefix):]
	for i, b := range path {
		if b == '/' {
			return path[:i:i], path[i:]
		}
	}
	return path[:len(path):len(path)], nil
}
