package ledger

// Kind is what a command does. The numbers are stored; they never change.
type Kind uint8

const (
	CreateAccount Kind = 1 + iota
	UpdateAccount
	Pay       // moves money at once
	Authorize // reserves it for a later capture
	Capture
	Void
	Refund
	Expire // releases an overdue hold; made by the ledger itself, never by a client
)

var kindNames = [...]string{
	CreateAccount: "create_account",
	UpdateAccount: "update_account",
	Pay:           "payment",
	Authorize:     "authorize",
	Capture:       "capture",
	Void:          "void",
	Refund:        "refund",
	Expire:        "expire",
}

// String returns the kind as the API spells it in an account's entries.
func (k Kind) String() string {
	if k >= CreateAccount && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Keyed reports whether commands of this kind carry an idempotency key.
func (k Kind) Keyed() bool { return k >= Pay && k <= Refund }

// OnPayment reports whether commands of this kind act on an earlier payment.
func (k Kind) OnPayment() bool { return k >= Capture && k <= Expire }

// DefaultExpiry is how long an authorization holds its money, in seconds,
// unless the request says otherwise; MaxExpiry is the longest.
const (
	DefaultExpiry = 604_800
	MaxExpiry     = 2_592_000
)

// MaxKeyLen is the longest idempotency key, in bytes.
const MaxKeyLen = 255

// Command is one request in canonical form: whatever a client may leave out or
// spell in two ways is filled in, so that two commands are the same request
// exactly if they are equal. Which fields a kind uses stands beside them; the
// others are zero. Byte slices alias the memory it was decoded from.
type Command struct {
	Kind Kind
	Key  []byte // idempotency key, of the kinds that are Keyed

	Source      []byte // Pay, Authorize: the account debited. CreateAccount, UpdateAccount: the account
	Destination []byte // Pay, Authorize: the account credited
	Currency    Currency
	Amount      int64  // minor units; Capture, Refund: 0 means all that is left
	Payment     uint64 // Capture, Void, Refund, Expire: seq of the payment
	Final       bool   // Capture: release what is not captured
	ExpiresIn   int64  // Pay, Authorize: seconds a hold lasts
	Reference   []byte // Pay, Authorize: the client's own id
	Metadata    Metadata

	// Conditions of Pay and Authorize.
	SourceVersion     Optional // version that the source must have
	MinAvailableAfter Optional // least available of the source afterwards

	// CreateAccount and UpdateAccount.
	Limit     int64 // overdraft limit in minor units
	Unlimited bool  // no overdraft limit at all
	Status    Status
	IfVersion Optional // UpdateAccount: version that the account must have
	Sets      Sets     // UpdateAccount: which fields change
}

// Optional is a number that may be absent.
type Optional struct {
	Set   bool
	Value int64
}

// Sets says which fields an UpdateAccount changes.
type Sets uint8

const (
	SetsLimit Sets = 1 << iota
	SetsStatus
	SetsMetadata
)

// Difference returns the name of the first field, as the API spells it, in which
// two requests with the same idempotency key differ, or "" when they are the
// same request.
func Difference(a, b *Command) string {
	switch {
	case endpoint(a.Kind) != endpoint(b.Kind), a.Payment != b.Payment:
		return "path"
	case string(a.Source) != string(b.Source):
		return "source"
	case string(a.Destination) != string(b.Destination):
		return "destination"
	case a.Amount != b.Amount:
		return "amount"
	case a.Currency != b.Currency:
		return "currency"
	case a.Kind != b.Kind:
		return "capture"
	case a.Final != b.Final:
		return "final"
	case a.ExpiresIn != b.ExpiresIn:
		return "expires_in"
	case string(a.Reference) != string(b.Reference):
		return "reference"
	case string(a.Metadata) != string(b.Metadata):
		return "metadata"
	case a.SourceVersion != b.SourceVersion:
		return "conditions.source_version"
	case a.MinAvailableAfter != b.MinAvailableAfter:
		return "conditions.min_available_after"
	}
	return ""
}

// endpoint maps the kinds that share one path to one of them.
func endpoint(k Kind) Kind {
	if k == Authorize {
		return Pay
	}
	return k
}
