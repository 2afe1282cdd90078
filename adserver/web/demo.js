// The panel beside the newspaper: asks for ads by /t.js and shows what the answer says of itself.
"use strict";

(() => {
  const DEVICES = {
    desktop: { type: "desktop", os: "windows", browser: "chrome" },
    phone: { type: "phone", os: "android", browser: "chrome" },
    tablet: { type: "tablet", os: "ios", browser: "safari" },
  };
  const QUALITY = ["Full model", "Fewer scored", "Fallback model", "House ad", "None"];
  const STEPS = { catalogue: "Catalogue", eligible: "Eligible", retrieved: "Retrieved", scored: "Scored" };
  const REASONS = {
    SIZE: "another size", NOT_SECURE: "not safe on https", ADVERTISER_BLOCKED: "advertiser blocked",
    CATEGORY_BLOCKED: "category blocked", ATTRIBUTE_BLOCKED: "attribute blocked", GEO: "another place",
    DEVICE: "another device", TIME: "another time", KEYWORD: "another topic", KEY_VALUE: "other key values",
    DOMAIN: "another site", SEGMENT: "another audience", SIMILARITY: "not worth scoring", LANGUAGE: "another language",
    BUDGET: "budget spent", PAUSED: "paused", EXCLUSION: "advertiser already here", DUPLICATE: "already on the page",
    FAIRNESS: "had its share", BELOW_FLOOR: "below the floor", OUTBID: "outbid", NOT_SCORED_TIME: "no time to score",
    NO_CANDIDATE: "nobody to show", WON: "it holds another slot",
  };

  const $ = (id) => document.getElementById(id);
  const reader = { topic: "travel", country: "USA", device: innerWidth < 640 ? "phone" : "desktop" };
  const seen = new Map(); // slot -> "impression" | "viewable", of the decision on show

  // ---- small things ------------------------------------------------------------------------

  function node(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const whole = (number) => Math.round(number).toLocaleString("en-US");
  const money = (cpm) => `$${(cpm ?? 0).toFixed(2)}`;
  const percent = (share) => `${(100 * share).toFixed(2)} %`;
  const reasonText = (name) => REASONS[name] ?? name.toLowerCase().replaceAll("_", " ");

  function bar(label, value, from, width) {
    const fill = node("i");
    fill.style.left = `${100 * from}%`;
    fill.style.width = `${100 * width}%`;
    return node("div", { class: "bar" }, node("span", {}, label), node("span", { class: "track" }, fill), node("span", { class: "value" }, value));
  }

  function term(name, value, kind = "") {
    return node("div", {}, node("dt", {}, name), node("dd", kind && { class: kind }, value));
  }

  // ---- the newspaper -----------------------------------------------------------------------

  const LINES = ["headline", "standfirst", "byline", "caption"];

  function readArticle() {
    const words = LINES.map((id) => [id, $(id).textContent]);
    const paragraphs = Array.from(document.querySelectorAll(".prose p"), (p) => p.textContent);
    return { ...Object.fromEntries(words), paragraphs };
  }

  function showArticle() {
    const article = window.ARTICLES[reader.topic];
    const paragraphs = article.paragraphs.map((words) => node("p", {}, words));
    for (const id of LINES) $(id).textContent = article[id];
    $("kicker").textContent = article.section;
    $("lead").replaceChildren(...paragraphs.slice(0, 2));
    $("rest").replaceChildren(...paragraphs.slice(2));
    for (const button of document.querySelectorAll("[data-topic]")) {
      if (button.dataset.topic === reader.topic) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    keyValues();
  }

  function keyValues() {
    const { kv } = window.ARTICLES[reader.topic];
    for (const slot of document.querySelectorAll("[data-ad-slot]")) slot.dataset.adKv = new URLSearchParams(kv);
  }

  // ---- the request -------------------------------------------------------------------------

  function requestFields() {
    const { categories, keywords } = window.ARTICLES[reader.topic];
    return {
      explain: "summary",
      page: { categories, keywords, lang: "en" },
      device: { ...DEVICES[reader.device], geo: { country: reader.country } },
    };
  }

  function choose(field, value) {
    reader[field] = value;
    $(field).value = value;
    if (field === "topic") showArticle();
    reload();
  }

  function reload() {
    $("status").textContent = "Asking…";
    window.adserver.load(requestFields());
  }

  // ---- the answer --------------------------------------------------------------------------

  function showFigures(answer, explain) {
    const quality = answer.decision_quality;
    $("figures").replaceChildren(
      term("Decided in", `${answer.took_ms.toFixed(1)} ms`),
      term("Quality", QUALITY[quality] ?? quality, quality === 0 ? "good" : "warn"),
      term("Plan", explain.funnel?.plan || "—"),
      term("Snapshot", explain.snapshot ?? "—"),
      term("Model", explain.model ?? "—"),
      term("Decision", explained(answer.decision_id ?? "")),
    );
  }

  function explained(id) {
    const link = { href: `/v1/decisions/${id}/explain`, target: "_blank", rel: "noopener", title: "Why: every candidate, score and price" };
    return node("a", link, id.slice(-8));
  }

  function why(ad, rival) {
    if (ad.price.basis === "first_price") return ["A first-price request: the winner pays its own bid."];
    if (ad.price.basis === "contract") return [`A contract of tier ${ad.tier}, which is sold before the auction: it pays the price that was agreed.`];
    if (ad.price.basis === "fixed_price") return ["A deal at a fixed price, which is what it pays."];
    if (!rival) return ["Nobody else could take this slot, so it goes for the ", node("b", {}, "floor price"), "."];
    const name = node("b", {}, rival.advertiser);
    const offer = ` (bid ${money(rival.bid_cpm)}, click rate ${percent(rival.pctr)}) lost: ${reasonText(rival.reason)}. `;
    const ranked = "It offered more, but its advertiser was shown a lot lately, and that counts against it. ";
    return ["Runner-up ", name, offer, rival.bid_cpm > ad.price.bid_cpm ? ranked : "", "The price is the least with which the winner would still have won."];
  }

  function fairness(told) {
    const past = "The advertiser is past its share, but nobody else could fill the slot.";
    return told?.fairness_override ? ` ${past}` : "";
  }

  function billing({ billed_on: event, charge }) {
    return event === "click" || event === "conversion" ? ` It bids by the ${event} and owes ${money(charge)} when one comes.` : "";
  }

  function sale(id, ad, told) {
    const { bid_cpm: bid, clear_cpm: clear } = ad.price;
    const paid = node("i");
    paid.style.width = `${Math.min(100, (100 * clear) / bid)}%`;
    const mark = node("span", { class: "seen", "data-seen": id }, "");
    return node("article", { class: "sale", "data-sale": id },
      node("header", {}, node("span", {}, `${id} · ${ad.width} × ${ad.height}`), mark),
      node("h4", {}, ad.title, " ", node("span", { class: "brand" }, ad.advertiser)),
      node("dl", { class: "terms" }, term("Click rate", percent(ad.model.pctr)), term("Bid, per mille", money(bid)), term("Pays, per mille", money(clear))),
      node("div", { class: "price", role: "img", "aria-label": `Pays ${money(clear)} of a bid of ${money(bid)}` }, paid),
      node("p", {}, ...why(ad, told?.runner_up), billing(ad.price), fairness(told)));
  }

  function noSale(id, noFill) {
    const reason = noFill?.reason ? reasonText(noFill.reason) : "no reason given";
    return node("article", { class: "sale", "data-sale": id }, node("header", {}, node("span", {}, id)), node("h4", {}, `Unsold: ${reason}`));
  }

  function showSlots(answer, explain) {
    const cards = Object.entries(answer.decisions).map(([id, ads]) =>
      ads.length ? sale(id, ads[0], explain.placements?.[id]?.[0]) : noSale(id, answer.no_fill?.[id]));
    $("slots").replaceChildren(...cards);
  }

  function showFunnel(answer, funnel) {
    const sold = Object.values(answer.decisions).flat().length;
    const rows = [...Object.entries(STEPS).map(([key, label]) => [label, funnel[key] ?? 0]), ["Sold", sold]];
    const most = Math.log10(1 + Math.max(...rows.map((row) => row[1])));
    $("funnel").replaceChildren(...rows.map(([label, ads]) => bar(label, whole(ads), 0, most ? Math.log10(1 + ads) / most : 0)));
  }

  function showRejected(rejected) {
    const rows = Object.entries(rejected).filter(([, ads]) => ads > 0).sort((a, b) => b[1] - a[1]).slice(0, 8);
    const most = Math.log10(1 + (rows[0]?.[1] ?? 1));
    $("rejected-section").hidden = rows.length === 0;
    $("rejected").replaceChildren(...rows.map(([name, ads]) => bar(reasonText(name), whole(ads), 0, Math.log10(1 + ads) / most)));
  }

  function showStages(stages) {
    const total = Object.values(stages).reduce((sum, ms) => sum + ms, 0) || 1;
    let start = 0;
    const rows = Object.entries(stages).map(([name, ms]) => {
      const row = bar(name.replaceAll("_", " "), ms.toFixed(2), start / total, ms / total);
      start += ms;
      return row;
    });
    $("stages").replaceChildren(...rows);
  }

  function showSeen() {
    const words = { impression: "● counted", viewable: "● counted and viewed" };
    for (const [slot, what] of seen) {
      const mark = document.querySelector(`[data-seen="${CSS.escape(slot)}"]`);
      if (mark) mark.textContent = words[what];
    }
  }

  function showDecision({ detail: { request, answer } }) {
    const explain = answer.explain ?? {};
    const slots = Object.values(answer.decisions);
    const filled = slots.filter((ads) => ads.length).length;
    seen.clear();
    $("status").className = "status";
    $("status").textContent = `${filled} of ${slots.length} slots sold in one request.`;
    showFigures(answer, explain);
    showSlots(answer, explain);
    showFunnel(answer, explain.funnel ?? {});
    showRejected(explain.funnel?.rejected ?? {});
    showStages(explain.stages_ms ?? {});
    $("raw").textContent = `${JSON.stringify(request, null, 2)}\n\n${JSON.stringify(answer, null, 2)}`;
    $("result").hidden = false;
  }

  function showFailure({ detail: { message } }) {
    $("status").className = "status failed";
    $("status").textContent = `No decision: ${message}. The page goes on without ads.`;
  }

  // ---- start -------------------------------------------------------------------------------

  Object.assign(window.ARTICLES[reader.topic], readArticle());
  $("today").textContent = new Date().toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  for (const button of document.querySelectorAll("[data-topic]")) {
    button.addEventListener("click", () => choose("topic", button.dataset.topic));
  }
  for (const field of Object.keys(reader)) {
    $(field).value = reader[field];
    $(field).addEventListener("change", (event) => choose(field, event.target.value));
  }
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    reload();
  });
  document.addEventListener("adserver:decision", showDecision);
  document.addEventListener("adserver:error", showFailure);
  for (const what of ["impression", "viewable"]) {
    document.addEventListener(`adserver:${what}`, ({ detail }) => {
      seen.set(detail.slot, what);
      showSeen();
    });
  }
  keyValues();
  window.adserver = { request: requestFields() };
})();
