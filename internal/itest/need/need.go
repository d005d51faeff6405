// Package need is for tests that need what a machine may lack.
package need

import (
	"os"
	"testing"
)

// Missing skips the test, and says what to install; where CI is set it fails.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
