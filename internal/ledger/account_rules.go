package ledger

// DecideAccount executes CreateAccount or UpdateAccount on a. For an account
// that does not exist, a is zero and metadata empty. An accepted command changes
// a in place and returns the metadata that the account has now; rec.Account is
// the caller's to fill in. A refused one changes nothing but rec.
func DecideAccount(rec *Record, a *Account, metadata Metadata) Metadata {
	if rec.Command.Kind == CreateAccount {
		return create(rec, a, metadata)
	}
	return update(rec, a, metadata)
}

// create is naturally idempotent: the same definition again is accepted and
// changes nothing.
func create(rec *Record, a *Account, metadata Metadata) Metadata {
	c := &rec.Command
	if a.Number != 0 {
		same := a.Currency == c.Currency && a.Unlimited == c.Unlimited && a.Limit == c.Limit &&
			string(metadata) == string(c.Metadata)
		if !same {
			rec.refuse(AccountExists, SourceParty)
		}
		return metadata
	}
	*a = Account{
		Number:    rec.Seq,
		Limit:     c.Limit,
		Version:   1,
		CreatedAt: rec.Time,
		UpdatedAt: rec.Time,
		Currency:  c.Currency,
		Status:    Active,
		Unlimited: c.Unlimited,
	}
	return c.Metadata
}

func update(rec *Record, a *Account, metadata Metadata) Metadata {
	c := &rec.Command
	closing := c.Sets&SetsStatus != 0 && c.Status == Closed
	switch {
	case a.Number == 0:
		rec.refuse(AccountNotFound, SourceParty)
		return metadata
	case a.Status == Closed:
		rec.refuse(AccountClosed, SourceParty)
		return metadata
	case c.IfVersion.Set && int64(a.Version) != c.IfVersion.Value:
		rec.refuseFor(VersionMismatch, SourceParty, int64(a.Version), c.IfVersion.Value)
		return metadata
	case closing && (a.Posted != 0 || a.Held != 0):
		rec.refuseFor(AccountNotEmpty, SourceParty, a.Posted, a.Held)
		return metadata
	}
	changed := false
	if c.Sets&SetsLimit != 0 && (a.Limit != c.Limit || a.Unlimited != c.Unlimited) {
		a.Limit, a.Unlimited, changed = c.Limit, c.Unlimited, true
	}
	if c.Sets&SetsStatus != 0 && a.Status != c.Status {
		a.Status, changed = c.Status, true
	}
	if c.Sets&SetsMetadata != 0 && string(metadata) != string(c.Metadata) {
		metadata, changed = c.Metadata, true
	}
	if changed {
		a.Version++
		a.UpdatedAt = rec.Time
	}
	return metadata
}
