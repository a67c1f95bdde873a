"use strict";
// Loads the page again every ten seconds and replaces the parts with figures. A part that
// has the focus or a selection stays as it is. Open details stay open.
(() => {
  const interval = 10000;
  const note = () => document.getElementById("refresh");
  let last = new Date();

  const key = (details, part) => details.id || part.id + ":" + [...part.querySelectorAll("details")].indexOf(details);
  const inUse = (part) => {
    const selection = document.getSelection();
    return part.contains(document.activeElement) || (selection && !selection.isCollapsed && selection.containsNode(part, true));
  };
  const replace = (part, next) => {
    const open = new Set([...part.querySelectorAll("details[open]")].map((d) => key(d, part)));
    next.querySelectorAll("details").forEach((d) => { d.open = open.has(key(d, next)); });
    part.replaceWith(document.adoptNode(next));
  };
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(location.pathname + location.search, { cache: "no-store" });
      if (!response.ok) throw new Error(response.status);
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      document.querySelectorAll("[data-live]").forEach((part) => {
        const replacement = next.getElementById(part.id);
        if (replacement && !inUse(part)) replace(part, replacement);
      });
      document.title = next.title;
      last = new Date();
      note().textContent = "refreshed every 10 s";
    } catch {
      note().textContent = "not refreshed since " + last.toISOString().slice(11, 19) + " UTC: the gateway does not respond";
    }
  };
  note().textContent = "refreshed every 10 s";
  setInterval(refresh, interval);
})();
