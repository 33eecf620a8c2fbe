// Small things that belong to the browser: theme and language (cookies), input height, keeping the thread in view.
(() => {
  const cookie = (name) => document.cookie.split("; ").find((part) => part.startsWith(name + "="))?.split("=")[1];
  const keep = (name, value) => {
    document.cookie = `${name}=${value}; Max-Age=31536000; Path=/; SameSite=Strict`;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => cookie("xinglin_theme") || (dark.matches ? "dark" : "light");
  const paint = () => {
    document.documentElement.dataset.theme = theme();
  };
  paint();
  dark.addEventListener("change", paint);

  const bottom = () => {
    const box = document.getElementById("scroll");
    if (box) box.scrollTop = box.scrollHeight;
  };
  // The thread follows the answer until the reader scrolls up, and again once the reader is back at the end.
  const watch = () => {
    const box = document.getElementById("scroll");
    const thread = document.getElementById("thread");
    if (!box || !thread) return setTimeout(watch, 50);
    let stick = true, top = 0, height = 0;
    box.addEventListener("scroll", () => {
      const room = box.scrollHeight - box.scrollTop - box.clientHeight;
      if (room < 24) stick = true;
      else if (box.scrollTop < top - 2 && box.scrollHeight >= height) stick = false;
      top = box.scrollTop;
      height = box.scrollHeight;
    }, { passive: true });
    const follow = new ResizeObserver(() => { if (stick) bottom(); });
    follow.observe(thread);
    follow.observe(box);
  };
  addEventListener("DOMContentLoaded", watch);

  addEventListener("keydown", (event) => {
    const drawer = document.getElementById("drawer");
    if (event.key === "Escape" && drawer?.classList.contains("open")) document.getElementById("drawer-close").click();
  });

  window.xinglin = {
    bottom,
    accept: (version) => keep("xinglin_consent", version),
    toggleTheme: () => {
      keep("xinglin_theme", theme() === "dark" ? "light" : "dark");
      paint();
    },
    language: (code) => {
      keep("xinglin_lang", code);
      location.reload();
    },
    grow: (box) => {
      box.style.height = "auto";
      box.style.height = Math.min(box.scrollHeight, innerHeight * 0.4) + "px";
    },
    clear: () => {
      const box = document.getElementById("ask");
      box.value = "";
      xinglin.grow(box);
      box.focus();
      bottom();
    },
    show: (number) => {
      for (const card of document.querySelectorAll(".card")) card.classList.remove("chosen");
      const card = document.getElementById("evidence-" + number);
      if (!card) return;
      card.classList.add("chosen");
      card.scrollIntoView({ block: "nearest", behavior: "smooth" });
    },
    copy: async (text) => {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const box = Object.assign(document.createElement("textarea"), { value: text });
        document.body.append(box);
        box.select();
        document.execCommand("copy");
        box.remove();
      }
    },
  };
})();
