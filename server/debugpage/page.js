"use strict";
// The page works without this script. With it, the figures are read again every
// two seconds, and to sort, filter or turn a page does not load the whole page.
(function () {
  const every = 2000;
  const state = document.getElementById("refresh-state");
  const button = document.getElementById("refresh");
  const byId = (id) => document.getElementById(id);
  let paused = false, timer = 0, reading = null;

  document.documentElement.classList.add("js");
  button.hidden = false;

  // Whoever fills in a form, or marks text to copy it, must keep what is there.
  function busy() {
    const at = document.activeElement;
    const marked = window.getSelection();
    return Boolean(at && at.matches("[data-swap] input")) || Boolean(marked && !marked.isCollapsed);
  }

  function swap(next) {
    const focused = document.activeElement && document.activeElement.id;
    for (const from of next.querySelectorAll("[data-swap]")) {
      const to = byId(from.id);
      if (to && to.innerHTML !== from.innerHTML) to.replaceChildren(...from.childNodes);
    }
    if (focused && document.activeElement.id !== focused && byId(focused)) byId(focused).focus({ preventScroll: true });
  }

  async function load() {
    clearTimeout(timer);
    if (reading) reading.abort();
    const mine = reading = new AbortController();
    const limit = setTimeout(() => mine.abort(), 10000);
    try {
      const reply = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal: mine.signal });
      if (!reply.ok) throw new Error("status " + reply.status);
      const text = await reply.text();
      if (mine !== reading) return;
      swap(new DOMParser().parseFromString(text, "text/html"));
      if (state.textContent) state.textContent = "";
    } catch (err) {
      if (mine !== reading) return;
      state.textContent = "No reply from the program";
    } finally {
      clearTimeout(limit);
      if (mine === reading) { reading = null; wait(); }
    }
  }

  function wait() {
    clearTimeout(timer);
    if (!paused) timer = setTimeout(() => document.hidden || busy() ? wait() : load(), every);
  }

  function go(url) {
    history.replaceState(null, "", url);
    load();
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    if (paused) wait(); else load();
  });

  document.addEventListener("click", (e) => {
    const link = e.target.closest("a[data-load]");
    if (!link || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    link.focus({ preventScroll: true });
    go(link.href);
  });

  function filter(form) {
    const url = new URL(location.href);
    const field = form.querySelector("input[type=search]");
    url.searchParams.delete(form.dataset.table + ".page");
    if (field.value) url.searchParams.set(field.name, field.value); else url.searchParams.delete(field.name);
    if (url.href !== location.href) go(url.href);
  }
  let typing = 0;
  for (const form of document.querySelectorAll("form.filter")) {
    form.addEventListener("submit", (e) => { e.preventDefault(); filter(form); });
    form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => filter(form), 200); });
  }

  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here.href);
  }
  wait();
})();
