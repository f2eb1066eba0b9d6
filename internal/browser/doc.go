// Package browser tests server/debugpage in a real browser: Chromium, without a
// window, by way of chromedp. Its tests are skipped where Chromium is not
// installed.
//
// With GTCP_SCREENSHOTS set to a folder, the tests leave pictures of the page in
// it.
package browser
