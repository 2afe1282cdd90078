/*
 * Fills every <div data-ad-slot="top" data-ad-zone="z1" data-ad-sizes="728x90,320x50"> of a page.
 *
 *   <script async src="https://ads.example/t.js" data-publisher="pub-1" data-categories="IAB17"></script>
 *
 * One request per page, whatever the number of slots. It keeps the height of each slot before the
 * answer comes, stores nothing on the device, sends no cookie, never throws into the page.
 *
 * On a slot: data-ad-keywords="cup, final", data-ad-kv="section=sport&tier=2", data-ad-floor="0.50".
 * A size wider than its slot is not asked for; a hidden slot is not asked for at all.
 * Events (they bubble): adserver:decision (the answer), adserver:error, and on the slot
 * adserver:impression and adserver:viewable. adserver.load({...}) asks again, with the given
 * fields laid over the request.
 */
(() => {
  "use strict";
  if (window.adserver?.load) return; // pasted twice: one request a page all the same

  const MOST_SLOTS = 20;
  const PATIENCE_MS = 3000;
  const VIEWED_MS = 1000;
  const LARGE_PX = 242_500; // from here on 30 % in view counts as viewed (MRC)

  const tag = document.currentScript;
  const base = new URL(".", tag?.src || location.href).href;
  let latest = 0;

  // Unlike randomUUID it is there on pages without https as well.
  const fresh = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

  const tell = (target, name, detail) =>
    target.dispatchEvent(new CustomEvent(`adserver:${name}`, { bubbles: true, detail }));

  const once = (target, event) =>
    new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const words = (text) => (text ?? "").split(",").map((word) => word.trim()).filter(Boolean);

  // -- slots

  function sizesThatFit(element) {
    const room = element.clientWidth || element.parentElement.clientWidth;
    return words(element.dataset.adSizes)
      .map((size) => size.split("x").map(Number))
      .filter(([width, height]) => width > 0 && height > 0 && width <= room);
  }

  /** The slots that are on show, by id, each with its box already kept free. */
  function reserveSlots() {
    const slots = new Map();
    for (const element of document.querySelectorAll("[data-ad-slot]")) {
      const sizes = element.getClientRects().length ? sizesThatFit(element) : [];
      element.style.minHeight = sizes.length ? `${Math.max(...sizes.map((size) => size[1]))}px` : "";
      if (sizes.length === 0 || slots.size === MOST_SLOTS) continue;
      const name = element.dataset.adSlot || "slot";
      let id = name;
      for (let n = 2; slots.has(id); n++) id = `${name}-${n}`;
      slots.set(id, { element, sizes });
    }
    return slots;
  }

  // -- the request

  function placement(id, { element, sizes }) {
    const { adZone, adKeywords, adKv, adFloor } = element.dataset;
    return {
      id,
      sizes,
      events: ["viewable"],
      ...(adZone && { zone_id: adZone }),
      ...(adKeywords && { keywords: words(adKeywords) }),
      ...(adKv && { kv: Object.fromEntries(new URLSearchParams(adKv)) }),
      ...(adFloor && { floor_cpm: Number(adFloor) }),
    };
  }

  function pageRequest(slots) {
    return {
      id: fresh(),
      publisher_id: tag?.dataset.publisher ?? "",
      placements: Array.from(slots, ([id, slot]) => placement(id, slot)),
      page: {
        url: location.href.split("#")[0],
        ref: document.referrer,
        categories: words(tag?.dataset.categories),
        page_view_id: fresh(),
        lang: document.documentElement.lang || navigator.language,
      },
      device: { dnt: Number(navigator.doNotTrack === "1") },
      privacy: { gpc: Number(navigator.globalPrivacyControl === true) },
    };
  }

  const isRecord = (value) => value?.constructor === Object;

  function overlay(target, extra) {
    for (const [key, value] of Object.entries(extra ?? {})) {
      target[key] = isRecord(value) && isRecord(target[key]) ? overlay(target[key], value) : value;
    }
    return target;
  }

  async function ask(request) {
    const answer = await fetch(new URL("v1/decision", base), {
      method: "POST",
      // No content type: plain text saves a cross-site page the preflight.
      body: JSON.stringify(request),
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(`the ad server answered ${answer.status}`);
    return answer.json();
  }

  // -- the ad

  function pixel(url) {
    if (url) new Image().src = new URL(url, base).href;
  }

  function frameOf(ad) {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.title = "Advertisement";
    frame.width = ad.width;
    frame.height = ad.height;
    Object.assign(frame.style, { border: "0", display: "block", margin: "0 auto", maxWidth: "100%" });
    const head = `<base href="${base}" target="_blank"><style>body{margin:0;overflow:hidden}</style>`;
    frame.srcdoc = `<!doctype html>${head}${ad.html}`;
    return frame;
  }

  /** Calls `then` once, after half of the frame has been in view of a visible tab for a second. */
  function whenViewed(frame, then) {
    const share = frame.width * frame.height >= LARGE_PX ? 0.3 : 0.5;
    let inView = false;
    let timer = 0;
    const stop = () => {
      observer.disconnect();
      document.removeEventListener("visibilitychange", restart);
    };
    const restart = () => {
      clearTimeout(timer);
      if (!frame.isConnected) stop();
      else if (inView && document.visibilityState === "visible") timer = setTimeout(seen, VIEWED_MS);
    };
    const seen = () => {
      stop();
      then();
    };
    const observer = new IntersectionObserver(
      (entries) => {
        inView = entries.at(-1).intersectionRatio >= share;
        restart();
      },
      { threshold: share },
    );
    document.addEventListener("visibilitychange", restart);
    observer.observe(frame);
  }

  async function show(id, element, ad) {
    const frame = frameOf(ad);
    const loaded = once(frame, "load");
    element.replaceChildren(frame);
    // The frame is opaque: load is its first sign of a rendered ad. A slow picture in it must not
    // cost the impression of an ad that can already be seen.
    await Promise.race([loaded, pause(1000)]);
    if (!frame.isConnected) return;
    pixel(ad.urls?.impression);
    tell(element, "impression", { slot: id });
    whenViewed(frame, () => {
      pixel(ad.urls?.viewable);
      tell(element, "viewable", { slot: id });
    });
  }

  // -- the page

  async function load(extra) {
    const turn = ++latest;
    try {
      if (document.prerendering) await once(document, "prerenderingchange");
      if (document.readyState === "loading") await once(document, "DOMContentLoaded");
      // By the first frame the styles are in, so widths are true; and a tab in the background
      // gets no frame, so it asks for nothing until it is opened.
      await new Promise(requestAnimationFrame);
      const slots = reserveSlots();
      if (slots.size === 0 || turn !== latest) return;
      const request = overlay(overlay(pageRequest(slots), window.adserver.request), extra);
      const answer = await ask(request);
      if (turn !== latest) return;
      for (const [id, { element }] of slots) {
        const ad = answer.decisions?.[id]?.[0];
        if (ad) show(id, element, ad);
        else element.querySelector("iframe")?.remove();
      }
      tell(document, "decision", { request, answer });
    } catch (error) {
      tell(document, "error", { message: String(error?.message ?? error) });
    }
  }

  // While the page is still being parsed, each new slot gets its height before it is painted.
  if (document.readyState === "loading") {
    const parsing = new MutationObserver(reserveSlots);
    parsing.observe(document.documentElement, { childList: true, subtree: true });
    document.addEventListener("DOMContentLoaded", () => parsing.disconnect(), { once: true });
  }

  window.adserver = Object.assign(window.adserver ?? {}, { load });
  load();
})();
