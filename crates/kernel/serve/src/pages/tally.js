// Asks for the page again while somebody sees it, and takes over what has changed: the nodes stay, so that
// focus, folds and scrolling do. Everything works without this script, by loading the page again.
"use strict";

(() => {
  const LEAST_MS = 1000;
  // A page that takes long to make is asked for less often: at most this part of the time is spent on it.
  const PART = 10;
  const AWAY_MAX_MS = 15000;
  const ANSWER_MAX_MS = 20000;

  const main = document.getElementById("main");
  const state = document.querySelector(".state");

  // The bars say what they are when somebody points at them.
  let pointed = null;
  const point = (slot) => {
    const readout = document.getElementById("readout");
    if (pointed) pointed.classList.remove("pointed");
    pointed = slot;
    if (slot) slot.classList.add("pointed");
    if (readout) readout.textContent = slot ? slot.querySelector("title").textContent : "";
  };
  main.addEventListener("pointerover", (event) => {
    const slot = event.target.closest && event.target.closest(".slot");
    if (slot !== pointed) point(slot);
  });
  main.addEventListener("pointerleave", () => point(null));

  if (!main.hasAttribute("data-live")) return;

  let tag = null;
  let timer = 0;
  let failures = 0;
  let isPaused = false;
  let isAsking = false;

  const button = document.createElement("button");
  button.type = "button";
  const show = () => {
    button.className = "live" + (isPaused ? " paused" : failures > 1 ? " lost" : "");
    button.textContent = isPaused ? "Paused" : failures > 1 ? "No answer" : "Live";
    button.title = isPaused ? "Follow what changes" : "Stop following what changes";
    button.setAttribute("aria-pressed", String(!isPaused));
  };
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    show();
    next(0);
  });
  state.append(button);
  show();

  const next = (ms) => {
    clearTimeout(timer);
    if (!isPaused && !document.hidden) timer = setTimeout(ask, ms);
  };
  document.addEventListener("visibilitychange", () => next(0));

  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    const begun = performance.now();
    try {
      const headers = { Accept: "text/html" };
      if (tag) headers["If-None-Match"] = tag;
      const signal = AbortSignal.timeout(ANSWER_MAX_MS);
      const response = await fetch(location.href, { headers, signal, cache: "no-store" });
      if (response.status === 200) {
        const text = await response.text();
        if (!isPaused) {
          take(new DOMParser().parseFromString(text, "text/html"));
          tag = response.headers.get("ETag");
        }
      } else if (response.status === 304) {
        checked(response.headers.get("Date"));
      } else {
        throw new Error(response.status);
      }
      failures = 0;
    } catch {
      failures += 1;
    }
    isAsking = false;
    show();
    const took = performance.now() - begun;
    next(failures ? Math.min(AWAY_MAX_MS, LEAST_MS * 2 ** failures) : Math.max(LEAST_MS, took * (PART - 1)));
  };

  // The numbers are the same, and from now.
  const checked = (date) => {
    const time = document.querySelector("#as-of time");
    if (!time || !date) return;
    const at = new Date(date);
    try {
      const timeZone = time.dataset.zone;
      time.textContent = at.toLocaleTimeString("en-GB", { timeZone });
      time.dateTime = at.toISOString();
    } catch {
      // A zone that this browser does not know: the next change says when it is from.
    }
  };

  const take = (page) => {
    const fresh = page.getElementById("main");
    if (!fresh) return;
    document.title = page.title;
    morph(main, fresh);
    const [mine, theirs] = [document, page].map((one) => one.getElementById("as-of"));
    if (mine && theirs) morph(mine, theirs);
    if (!mine && theirs) state.prepend(theirs);
    if (pointed && pointed.isConnected) point(pointed);
  };

  // Makes one node like another, in place.
  const morph = (mine, theirs) => {
    if (mine.nodeType === Node.TEXT_NODE) {
      if (mine.data === theirs.data) return;
      mine.data = theirs.data;
      flash(mine.parentElement);
      return;
    }
    if (mine.nodeType !== Node.ELEMENT_NODE || mine.isEqualNode(theirs)) return;
    if (mine.id === "readout") return;
    const kept = mine.tagName === "DETAILS" ? "open" : mine.tagName === "INPUT" ? "value" : "";
    for (const { name } of [...mine.attributes]) {
      if (name !== kept && name !== "class" && !theirs.hasAttribute(name)) mine.removeAttribute(name);
    }
    for (const { name, value } of theirs.attributes) {
      if (name !== kept && mine.getAttribute(name) !== value) mine.setAttribute(name, value);
    }
    if (!theirs.hasAttribute("class")) mine.removeAttribute("class");
    const news = [...theirs.childNodes];
    const olds = [...mine.childNodes];
    news.forEach((one, at) => {
      const old = olds[at];
      if (!old) mine.append(one);
      else if (old.nodeType !== one.nodeType || old.nodeName !== one.nodeName || old.id !== one.id) old.replaceWith(one);
      else morph(old, one);
    });
    olds.slice(news.length).forEach((old) => old.remove());
  };

  // A number that has changed is marked for a moment, unless motion is unwanted.
  const flash = (element) => {
    const number = element && element.closest(".number, .figure strong");
    if (!number) return;
    number.classList.remove("changed");
    requestAnimationFrame(() => number.classList.add("changed"));
  };

  next(LEAST_MS);
})();
