"""Everything that the bot says in English."""

from __future__ import annotations

from krotray_bot.words import office
from krotray_bot.words.shape import Words
from krotray_core import reasons, speech

EN = Words(
    days_left=speech.days_left_en,
    months=speech.months_en,
    date=speech.date_en,
    volume=speech.volume_en,
    commands=("Main menu", "Buy or renew", "My key", "How to connect", "Invite friends", "Help"),
    menu_button="Cabinet",
    open_cabinet="Open the cabinet",
    buy="Buy or renew",
    renew="Renew",
    my_key="My key",
    help="Help",
    connect="How to connect",
    invite="Invite friends",
    menu="‹ Menu",
    back="‹ Back",
    pay="Pay {price}",
    check="Check the payment",
    refresh="Refresh",
    copy_link="Copy the link",
    new_key="New key",
    rotate="Yes, replace the key",
    keep_key="Keep the old one",
    get_app="Get {app}",
    add_to_app="Add to {app}",
    other_device="‹ Another device",
    share="Send to a friend",
    ask="Write to us",
    again="Try again",
    pay_by={"sbp": "Pay by SBP", "card": "Pay by card"},
    methods={"sbp": "SBP (Faster Payments)", "card": "Bank card"},
    greeting="Hello{name}. This is <b>KrotRay</b>, the mole who digs you a tunnel to the open internet.",
    not_understood="I only understand buttons and commands. Please choose:",
    choose_plan="For how long? If you already have days, these are added to them, and your key stays the same.",
    nothing_on_sale="Nothing is on sale at the moment. A subscription that runs works as before. Please look in a little later.",
    plans_changed="Our plans have changed, no money was taken.",
    plan="{months} — {price}",
    saving=" · you save {price}",
    choose_method="<b>{months}, {price}</b>\nHow would you like to pay?",
    to_pay=(
        "<b>{months}, {price}</b> · {method}\n\n"
        "Press “Pay”, then come back here and press “Check the payment”: the key will appear right here."
    ),
    making_bill=(
        "One moment, your bill is being made. The “Pay” button will appear right here; no money has been taken yet.\n\n"
        "If it is not here in half a minute, press “Try again”: there will be no second bill."
    ),
    paid="The payment went through, thank you.\n\n",
    part_returned="Of this payment {price} went back to you.\n\n",
    preparing="Your key is being made, usually within seconds. Press “Refresh”; you may close the chat, the key will wait.",
    works="<b>Your key works until {date}</b>, {days_left}.",
    used="Used this period: {volume}.",
    how_to_copy="Point your VPN app's camera at the picture, or tap a line to copy it.",
    key_below="The link and the key are in the next message.",
    one_press="Have an app already? Add the key with one button:",
    link_title="Subscription link:",
    key_title="Or the key itself:",
    no_key="You have no key yet. Choose a plan: the key appears here after the payment.",
    awaiting_payment=(
        "We are waiting for the payment. If you have paid, the key appears within a minute: press “Check the payment”. "
        "If you have not, no money was taken."
    ),
    expired="Your subscription ended on {date}. Renew it: the key and the link stay the same.",
    help_text=(
        "<b>Paid, but no key</b>\n"
        "A payment counts by itself, usually within a minute. Press “My key”.\n\n"
        "<b>It does not connect</b>\n"
        "Refresh the subscription in the app and switch other VPNs off. Still nothing? Go through “How to connect” again.\n\n"
        "<b>A stranger has your key</b>\n"
        "Open “My key” and press “New key”: the old one stops working, your days stay."
    ),
    ask_rotate=(
        "<b>Replace the key?</b>\n"
        "The old key and link stop working on every device, and the new ones have to be added on each. Your days stay."
    ),
    rotated="The key is replaced, the old one no longer works.\n\n",
    rotated_lately="The key was replaced too often. It works as it is; try again later.",
    nothing_to_rotate="There is nothing to replace yet. Choose a plan: the key appears after the payment.",
    platforms={"android": "Android", "ios": "iPhone, iPad", "windows": "Windows", "macos": "macOS", "linux": "Linux"},
    choose_device="<b>How to connect</b>\nWhere do you need the VPN?",
    steps=(
        "<b>{platform}: three steps</b>\n"
        "1. Get an app; {app} is the best one to start with.\n"
        "2. Come back here and press “Add”: the subscription appears in the app by itself.\n"
        "3. Switch the VPN on with the big button in the app."
    ),
    steps_by_hand=(
        "<b>{platform}: three steps</b>\n"
        "1. Get an app; {app} is the best one to start with.\n"
        "2. Open “My key”, copy the subscription link and paste it in the app with “+”.\n"
        "3. Switch the VPN on with the big button in the app."
    ),
    on_that_device="Press these on the device that needs the VPN: this chat is there, too.",
    key_first="You have no key yet: please choose a plan first.",
    invitation=(
        "<b>Invite friends</b>\nHere is your link, send it to whoever needs the open internet:\n\n{link}\n\n{came}"
    ),
    people_came=lambda number: f"{number} {'person has' if number == 1 else 'people have'} come through it.",
    nobody_came="Nobody has come through it yet.",
    share_text="KrotRay, the VPN that connects within a minute:",
    no_invitation="The link is not ready yet. Try again in a minute.",
    ask_email="Which e-mail address should the receipt go to? Write it here, e.g. anna@example.com. No money has been taken yet.",
    email_kept="The receipt will go to <b>{email}</b>. To change the address, send another one.",
    choose_both="Now the payment. Choose a period and a way to pay:",
    email_wrong="This does not look like an e-mail address. Please check it and send it again. No money was taken.",
    email_hint="If this was the e-mail address for the receipt, please write nothing but the address: anna@example.com.",
    receipt_goes_to="\n\nThe receipt goes to {email}. For another address, just write it here.",
    checking="Checking. The key will come here by itself.",
    reasons=reasons.EN,
    canceled="The payment did not go through, no money was taken. You can try again or pay in another way.",
    refunded="This payment was returned: {price} goes back where it came from, usually within a few days.",
    flagged="The payment is not what we expected. The money is safe: we are looking into it. No need to pay again.",
    too_many_open=(
        "You have several unpaid bills, so no new one was opened and no money was taken. "
        "Pay the latest one, or wait an hour: they close by themselves."
    ),
    gateway_away="The payment system does not answer at the moment. No money was taken. Try again in a minute.",
    gateway_refused="The payment system did not take the order. No money was taken. Try another way to pay, or come later.",
    away_buying="The service is away for a moment. No money was taken. Try again in a minute.",
    away="The service is away for a moment. If you have paid, the payment is safe. Try again in a minute.",
    no_payment="You have no such payment, and no money was taken for it. Please choose a plan again.",
    broken="Something broke on our side, and we can see it. If you have paid, the payment is safe. Please try again.",
    too_fast="That was a lot of presses at once. If you have paid, the payment is safe. Try again in a few seconds.",
    muted="Telegram asks us to slow down: the answer will come later. Your payment is safe. If it does not come, press again.",
    muted_long="Telegram asks us not to write to you now: no answer will come. Your payment is safe. Press again later.",
    office=office.EN,
)
