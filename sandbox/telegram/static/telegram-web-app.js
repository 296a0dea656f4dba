// window.Telegram.WebApp for a Mini App in the sandbox's frame, in the place of the script that telegram.org serves: the surface
// described at https://core.telegram.org/bots/webapps, over the events of https://core.telegram.org/api/web-events.
"use strict";
(() => {
  const KEPT = "__telegram__initParams";
  const listeners = new Map();
  const launch = parameters();
  const fresh = new URLSearchParams(launch.tgWebAppData || "");
  const version = launch.tgWebAppVersion || "6.0";
  const framed = window.parent !== window;

  function parameters() {
    const found = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    try {
      const all = { ...JSON.parse(sessionStorage.getItem(KEPT) || "{}"), ...found };
      sessionStorage.setItem(KEPT, JSON.stringify(all));
      return all;
    } catch {
      return found;
    }
  }

  function post(eventType, eventData = {}) {
    if (framed) window.parent.postMessage(JSON.stringify({ eventType, eventData }), "*");
  }

  // What the apps on phones and desktops put into a page; Telegram Web has only the frame.
  if (framed && !/^web/.test(launch.tgWebAppPlatform)) {
    window.TelegramWebviewProxy = { postEvent: (type, data) => post(type, data ? JSON.parse(data) : {}) };
  }

  const unsafe = {};
  for (const [name, value] of fresh) {
    try {
      unsafe[name] = /^[[{]/.test(value) ? JSON.parse(value) : value;
    } catch {
      unsafe[name] = value;
    }
  }

  const style = document.documentElement.style;
  const paint = (name, value) => style.setProperty(`--tg-${name}`, value);
  const needs = (wanted, what) => {
    if (!app.isVersionAtLeast(wanted)) throw new Error(`WebAppMethodUnsupported: ${what}`);
  };

  function emit(name, data) {
    for (const listener of [...(listeners.get(name) || [])]) listener.call(app, data);
  }

  function dress(params) {
    app.themeParams = params;
    for (const [name, colour] of Object.entries(params)) paint(`theme-${name.replaceAll("_", "-")}`, colour);
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt((params.bg_color || "#ffffff").slice(at, at + 2), 16));
    app.colorScheme = red * 0.299 + green * 0.587 + blue * 0.114 < 120 ? "dark" : "light";
    paint("color-scheme", app.colorScheme);
  }

  function measure({ height, is_state_stable, is_expanded }) {
    app.viewportHeight = height;
    if (is_state_stable) app.viewportStableHeight = height;
    app.isExpanded = Boolean(is_expanded);
    paint("viewport-height", `${app.viewportHeight}px`);
    paint("viewport-stable-height", `${app.viewportStableHeight}px`);
    emit("viewportChanged", { isStateStable: Boolean(is_state_stable) });
  }

  function inset(name, css, sides) {
    app[name] = sides;
    for (const [side, size] of Object.entries(sides)) paint(`${css}-${side}`, `${size}px`);
  }

  function clicks(target, event) {
    target.onClick = (listener) => (app.onEvent(event, listener), target);
    target.offClick = (listener) => (app.offEvent(event, listener), target);
    return target;
  }

  function simpleButton(method, event, wanted) {
    const set = (visible) => {
      needs(wanted, event);
      button.isVisible = visible;
      post(method, { is_visible: visible });
      return button;
    };
    const button = clicks({ isVisible: false, show: () => set(true), hide: () => set(false) }, event);
    return button;
  }

  function bottomButton(type, method, event, text) {
    const send = () => {
      post(method, {
        is_visible: button.isVisible && button.text.trim() !== "",
        is_active: button.isActive,
        is_progress_visible: button.isProgressVisible,
        text: button.text,
        color: button.color || undefined,
        text_color: button.textColor || undefined,
        has_shine_effect: button.hasShineEffect,
        position: button.position,
      });
      return button;
    };
    const change = (changes) => (Object.assign(button, changes), send());
    const names = { text: "text", color: "color", text_color: "textColor", is_active: "isActive", is_visible: "isVisible", has_shine_effect: "hasShineEffect", position: "position" };
    const button = clicks({
      type, text, color: "", textColor: "", isVisible: false, isActive: true, isProgressVisible: false, hasShineEffect: false, position: "left",
      setText: (words) => change({ text: words }),
      show: () => change({ isVisible: true }),
      hide: () => change({ isVisible: false }),
      enable: () => change({ isActive: true }),
      disable: () => change({ isActive: false }),
      showProgress: (leaveActive) => change({ isProgressVisible: true, isActive: Boolean(leaveActive) }),
      hideProgress: () => change({ isProgressVisible: false, isActive: true }),
      setParams: (given) => change(Object.fromEntries(Object.entries(given).filter(([name]) => names[name]).map(([name, value]) => [names[name], value]))),
    }, event);
    return button;
  }

  let asked = 0;
  const waiting = new Map(); // requests that the parent answers, by their number
  let popupDone = null;

  function cloud(method, params, done) {
    needs("6.9", "CloudStorage");
    const req_id = `r${++asked}`;
    waiting.set(req_id, ({ result, error }) => done?.(error ?? null, error ? undefined : result));
    post("web_app_invoke_custom_method", { req_id, method, params });
    return app.CloudStorage;
  }

  const haptic = (data) => (needs("6.1", "HapticFeedback"), post("web_app_trigger_haptic_feedback", data), app.HapticFeedback);
  const flag = (property, value, method, data) => () => {
    app[property] = value;
    post(method, data);
  };
  const colour = (property, method) => (value) => {
    app[property] = app.themeParams[value] || value;
    post(method, /^#/.test(value) ? { color: value } : { color_key: value, color: app.themeParams[value] });
  };

  const app = {
    initData: launch.tgWebAppData || "",
    initDataUnsafe: unsafe,
    version,
    platform: launch.tgWebAppPlatform || "unknown",
    colorScheme: "light",
    themeParams: {},
    isExpanded: true,
    isActive: true,
    isFullscreen: false,
    isOrientationLocked: false,
    isClosingConfirmationEnabled: false,
    isVerticalSwipesEnabled: true,
    viewportHeight: window.innerHeight,
    viewportStableHeight: window.innerHeight,
    headerColor: "",
    backgroundColor: "",
    bottomBarColor: "",
    safeAreaInset: { top: 0, bottom: 0, left: 0, right: 0 },
    contentSafeAreaInset: { top: 0, bottom: 0, left: 0, right: 0 },
    isVersionAtLeast(wanted) {
      const [ours, theirs] = [version, String(wanted)].map((one) => one.split(".").map(Number));
      for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
        if ((ours[i] || 0) !== (theirs[i] || 0)) return (ours[i] || 0) > (theirs[i] || 0);
      }
      return true;
    },
    onEvent(name, listener) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(listener);
    },
    offEvent(name, listener) {
      listeners.get(name)?.delete(listener);
    },
    ready: () => post("web_app_ready"),
    expand: () => post("web_app_expand"),
    close: () => post("web_app_close"),
    setHeaderColor: colour("headerColor", "web_app_set_header_color"),
    setBackgroundColor: colour("backgroundColor", "web_app_set_background_color"),
    setBottomBarColor: colour("bottomBarColor", "web_app_set_bottom_bar_color"),
    enableClosingConfirmation: flag("isClosingConfirmationEnabled", true, "web_app_setup_closing_behavior", { need_confirmation: true }),
    disableClosingConfirmation: flag("isClosingConfirmationEnabled", false, "web_app_setup_closing_behavior", { need_confirmation: false }),
    enableVerticalSwipes: flag("isVerticalSwipesEnabled", true, "web_app_setup_swipe_behavior", { allow_vertical_swipe: true }),
    disableVerticalSwipes: flag("isVerticalSwipesEnabled", false, "web_app_setup_swipe_behavior", { allow_vertical_swipe: false }),
    requestFullscreen: () => (needs("8.0", "requestFullscreen"), post("web_app_request_fullscreen")),
    exitFullscreen: () => (needs("8.0", "exitFullscreen"), post("web_app_exit_fullscreen")),
    addToHomeScreen: () => (needs("8.0", "addToHomeScreen"), post("web_app_add_to_home_screen")),
    checkHomeScreenStatus: (done) => (needs("8.0", "checkHomeScreenStatus"), waiting.set("home", ({ status }) => done?.(status)), post("web_app_check_home_screen")),
    requestWriteAccess: (done) => (needs("6.9", "requestWriteAccess"), waiting.set("write", ({ status }) => done?.(status === "allowed")), post("web_app_request_write_access")),
    openLink(url, options = {}) {
      const link = new URL(url, location.href);
      if (!/^https?:$/.test(link.protocol)) throw new Error("WebAppTgUrlInvalid: only http and https can be opened");
      if (app.isVersionAtLeast("6.1")) post("web_app_open_link", { url: link.href, try_instant_view: Boolean(options.try_instant_view) });
      else window.open(link.href, "_blank");
    },
    openTelegramLink(url) {
      const link = new URL(url, location.href);
      if (!/^https?:$/.test(link.protocol) || link.hostname !== "t.me") throw new Error("WebAppTgUrlInvalid: only t.me can be opened");
      post("web_app_open_tg_link", { path_full: link.pathname + link.search });
    },
    openInvoice(url, done) {
      needs("6.1", "openInvoice");
      waiting.set("invoice", ({ status }) => done?.(status));
      post("web_app_open_invoice", { slug: url });
    },
    showPopup({ title = "", message, buttons = [{ type: "close" }] }, done) {
      needs("6.2", "showPopup");
      if (popupDone) throw new Error("WebAppPopupOpened");
      if (!message || message.length > 256 || !buttons.length || buttons.length > 3) throw new Error("WebAppPopupParamInvalid");
      popupDone = done || (() => {});
      post("web_app_open_popup", { title, message, buttons: buttons.map(({ id = "", type = "default", text }) => ({ id, type, text })) });
    },
    showAlert: (message, done) => app.showPopup({ message }, done && (() => done())),
    showConfirm: (message, done) => app.showPopup({ message, buttons: [{ type: "ok", id: "ok" }, { type: "cancel" }] }, done && ((id) => done(id === "ok"))),
    readTextFromClipboard(done) {
      needs("6.4", "readTextFromClipboard");
      const req_id = `r${++asked}`;
      waiting.set(req_id, ({ data = null }) => done?.(data));
      post("web_app_read_text_from_clipboard", { req_id });
    },
    sendData: (data) => post("web_app_data_send", { data }),
    HapticFeedback: {
      impactOccurred: (impact_style) => haptic({ type: "impact", impact_style }),
      notificationOccurred: (notification_type) => haptic({ type: "notification", notification_type }),
      selectionChanged: () => haptic({ type: "selection_change" }),
    },
    CloudStorage: {
      setItem: (key, value, done) => cloud("saveStorageValue", { key, value }, done),
      getItem: (key, done) => cloud("getStorageValues", { keys: [key] }, (error, found) => done?.(error, found?.[key])),
      getItems: (keys, done) => cloud("getStorageValues", { keys }, done),
      removeItem: (key, done) => cloud("deleteStorageValues", { keys: [key] }, done),
      removeItems: (keys, done) => cloud("deleteStorageValues", { keys }, done),
      getKeys: (done) => cloud("getStorageKeys", {}, done),
    },
  };
  app.BackButton = simpleButton("web_app_setup_back_button", "backButtonClicked", "6.1");
  app.SettingsButton = simpleButton("web_app_setup_settings_button", "settingsButtonClicked", "7.0");
  app.MainButton = bottomButton("main", "web_app_setup_main_button", "mainButtonClicked", "Continue");
  app.BottomButton = app.MainButton;
  app.SecondaryButton = bottomButton("secondary", "web_app_setup_secondary_button", "secondaryButtonClicked", "Cancel");

  const answer = (number, data) => {
    const done = waiting.get(number);
    waiting.delete(number);
    done?.(data);
  };
  const EVENTS = {
    theme_changed: ({ theme_params }) => (dress(theme_params), emit("themeChanged")),
    viewport_changed: measure,
    back_button_pressed: () => emit("backButtonClicked"),
    settings_button_pressed: () => emit("settingsButtonClicked"),
    main_button_pressed: () => app.MainButton.isActive && emit("mainButtonClicked"),
    secondary_button_pressed: () => app.SecondaryButton.isActive && emit("secondaryButtonClicked"),
    safe_area_changed: (sides) => (inset("safeAreaInset", "safe-area-inset", sides), emit("safeAreaChanged")),
    content_safe_area_changed: (sides) => (inset("contentSafeAreaInset", "content-safe-area-inset", sides), emit("contentSafeAreaChanged")),
    visibility_changed: ({ is_visible }) => {
      app.isActive = Boolean(is_visible);
      emit(is_visible ? "activated" : "deactivated");
    },
    fullscreen_failed: (data) => emit("fullscreenFailed", data),
    home_screen_failed: (data) => emit("homeScreenFailed", data),
    home_screen_checked: (data) => (answer("home", data), emit("homeScreenChecked", data)),
    write_access_requested: (data) => (answer("write", data), emit("writeAccessRequested", data)),
    invoice_closed: (data) => (answer("invoice", data), emit("invoiceClosed", { url: data.slug, status: data.status })),
    custom_method_invoked: (data) => answer(data.req_id, data),
    clipboard_text_received: (data) => (answer(data.req_id, data), emit("clipboardTextReceived", { data: data.data ?? null })),
    popup_closed({ button_id = null }) {
      const done = popupDone;
      popupDone = null;
      done?.(button_id);
      emit("popupClosed", { button_id });
    },
    reload_iframe() {
      post("iframe_will_reload");
      location.reload();
    },
  };

  function receive(type, data) {
    EVENTS[type]?.(data ?? {});
  }

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent) return;
    try {
      const { eventType, eventData } = JSON.parse(event.data);
      receive(eventType, eventData);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  });

  try {
    dress(JSON.parse(launch.tgWebAppThemeParams || "{}"));
  } catch {
    // odd colours: the page has its own
  }
  inset("safeAreaInset", "safe-area-inset", app.safeAreaInset);
  inset("contentSafeAreaInset", "content-safe-area-inset", app.contentSafeAreaInset);
  paint("viewport-height", "100vh");
  paint("viewport-stable-height", "100vh");
  window.Telegram = { WebApp: app, WebView: { initParams: launch, isIframe: framed, postEvent: (type, _, data) => post(type, data), receiveEvent: receive } };
  post("iframe_ready", { reload_supported: true });
  for (const wanted of ["theme", "viewport", "safe_area", "content_safe_area"]) post(`web_app_request_${wanted}`);
})();
