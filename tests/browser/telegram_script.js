// What telegram-web-app.js gives to a page, as far as ours uses it, and as strictly. What the page asks for is kept in `asked`.
(() => {
  const hash = new URLSearchParams(sessionStorage.getItem("launch") ?? location.hash.slice(1));
  sessionStorage.setItem("launch", hash.toString());
  const version = hash.get("tgWebAppVersion");
  const least = (wanted) => parseFloat(version) >= parseFloat(wanted);
  const asked = (window.asked = []);
  const note = (...what) => asked.push(what.join(" "));
  const need = (wanted) => {
    if (!least(wanted)) throw new Error(`WebAppMethodUnsupported: needs ${wanted}`);
  };

  class Button {
    constructor(since) {
      Object.assign(this, { since, text: "", isVisible: false, isActive: true, isProgressVisible: false, listeners: new Set() });
    }
    setParams({ text, is_visible: visible, is_active: active }) {
      need(this.since);
      if (text !== undefined && !text.trim()) throw new Error("WebAppBottomButtonParamInvalid");
      Object.assign(this, { text: text ?? this.text, isVisible: visible ?? this.isVisible, isActive: active ?? this.isActive });
      return this;
    }
    onClick(press) {
      need(this.since);
      this.listeners.add(press);
      return this;
    }
    offClick(press) {
      this.listeners.delete(press);
      return this;
    }
    show() {
      need(this.since);
      this.isVisible = true;
      return this;
    }
    hide() {
      this.isVisible = false;
      return this;
    }
    showProgress() {
      this.isProgressVisible = true;
      return this;
    }
    hideProgress() {
      this.isProgressVisible = false;
      return this;
    }
    press() {
      if (!this.isVisible) throw new Error("there is no such button to press");
      for (const press of [...this.listeners]) press();
    }
  }

  const haptic = (kind) => (style) => {
    need("6.1");
    note("haptic", kind, style);
  };
  window.TelegramWebviewProxy = { postEvent() {} };
  window.Telegram = {
    WebApp: {
      initData: "",
      version,
      platform: hash.get("tgWebAppPlatform") ?? "unknown",
      isVersionAtLeast: least,
      MainButton: new Button("6.0"),
      BackButton: new Button("6.1"),
      HapticFeedback: { impactOccurred: haptic("impact"), notificationOccurred: haptic("notification"), selectionChanged: haptic("selection") },
      ready: () => note("ready"),
      expand: () => note("expand"),
      close: () => note("close"),
      onEvent(name, act) {
        note("on", name);
        (window.heard ??= {})[name] = act;
      },
      requestWriteAccess(done) {
        need("6.9");
        note("requestWriteAccess");
        setTimeout(() => done(window.letsWrite ?? true));
      },
      openLink(url) {
        if (!/^https?:\/\//.test(url)) throw new Error("WebAppTgUrlInvalid");
        note("openLink", url);
      },
      openTelegramLink(url) {
        need("6.1");
        if (!/^https:\/\/t\.me\//.test(url)) throw new Error("WebAppTgUrlInvalid");
        note("openTelegramLink", url);
      },
    },
  };
  document.documentElement.style.setProperty("--tg-content-safe-area-inset-top", "46px");
})();
