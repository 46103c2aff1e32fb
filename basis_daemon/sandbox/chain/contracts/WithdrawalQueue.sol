// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import "@openzeppelin/contracts/token/ERC721/extensions/ERC721Enumerable.sol";
import "./WstEth.sol";

/// Stands in for Lido's withdrawal queue: a request keeps amount and shares, finalisation sets the rate at which it is
/// paid (never more than the amount asked for), a claim burns the token. What it is paid comes from stETH.
contract WithdrawalQueue is ERC721Enumerable {
    struct WithdrawalRequestStatus {
        uint256 amountOfStETH;
        uint256 amountOfShares;
        address owner;
        uint256 timestamp;
        bool isFinalized;
        bool isClaimed;
    }

    struct Request {
        uint256 amount;
        uint256 shares;
        uint256 timestamp;
    }

    struct Checkpoint {
        uint256 fromRequestId;
        uint256 maxShareRate;
    }

    uint256 public constant MIN_STETH_WITHDRAWAL_AMOUNT = 100;
    uint256 public constant MAX_STETH_WITHDRAWAL_AMOUNT = 1000 ether;
    uint256 public constant MAX_BATCHES_LENGTH = 36;
    uint256 private constant RATE_PRECISION = 1e27;

    StEth public immutable STETH;
    WstEth public immutable WSTETH;
    uint256 public getLastRequestId;
    uint256 public getLastFinalizedRequestId;
    uint256 public getLastCheckpointIndex;
    uint256 public getLockedEtherAmount;
    bool public isPaused;
    bool public isBunkerModeActive;
    mapping(uint256 => Request) private _requests;
    mapping(uint256 => Checkpoint) private _checkpoints;

    error RequestAmountTooSmall(uint256 _amountOfStETH);
    error RequestAmountTooLarge(uint256 _amountOfStETH);
    error RequestNotFoundOrNotFinalized(uint256 _requestId);
    error RequestAlreadyClaimed(uint256 _requestId);
    error InvalidRequestId(uint256 _requestId);
    error InvalidRequestIdRange(uint256 startId, uint256 endId);
    error InvalidHint(uint256 _hint);
    error RequestIdsNotSorted();
    error ArraysLengthMismatch(uint256 _firstArrayLength, uint256 _secondArrayLength);
    error TooMuchEtherToFinalize(uint256 sent, uint256 maxExpected);
    error ZeroRecipient();
    error ZeroShareRate();
    error NotOwner(address _sender, address _owner);
    error CantSendValueRecipientMayHaveReverted();
    error ResumedExpected();

    event WithdrawalRequested(
        uint256 indexed requestId,
        address indexed requestor,
        address indexed owner,
        uint256 amountOfStETH,
        uint256 amountOfShares
    );
    event WithdrawalsFinalized(
        uint256 indexed from, uint256 indexed to, uint256 amountOfETHLocked, uint256 sharesToBurn, uint256 timestamp
    );
    event WithdrawalClaimed(
        uint256 indexed requestId, address indexed owner, address indexed receiver, uint256 amountOfETH
    );
    event Paused(uint256 duration);
    event Resumed();
    event BunkerModeEnabled(uint256 _sinceTimestamp);
    event BunkerModeDisabled();

    constructor(WstEth wstETH) ERC721("Lido: stETH Withdrawal NFT", "unstETH") {
        WSTETH = wstETH;
        STETH = wstETH.stETH();
    }

    modifier onlyOwner() {
        require(msg.sender == STETH.owner(), "AccessControl: account is missing role");
        _;
    }

    function pauseFor(uint256 duration) external onlyOwner {
        isPaused = true;
        emit Paused(duration);
    }

    function resume() external onlyOwner {
        isPaused = false;
        emit Resumed();
    }

    function setBunkerMode(bool on) external onlyOwner {
        isBunkerModeActive = on;
        if (on) emit BunkerModeEnabled(block.timestamp);
        else emit BunkerModeDisabled();
    }

    function requestWithdrawals(uint256[] calldata amounts, address owner) external returns (uint256[] memory ids) {
        _requireRunning();
        ids = new uint256[](amounts.length);
        for (uint256 i = 0; i < amounts.length; i++) {
            _requireFitting(amounts[i]);
            STETH.transferFrom(msg.sender, address(this), amounts[i]);
            ids[i] = _enqueue(amounts[i], owner);
        }
    }

    function requestWithdrawalsWstETH(uint256[] calldata amounts, address owner) external returns (uint256[] memory ids) {
        _requireRunning();
        ids = new uint256[](amounts.length);
        for (uint256 i = 0; i < amounts.length; i++) {
            WSTETH.transferFrom(msg.sender, address(this), amounts[i]);
            uint256 amount = WSTETH.unwrap(amounts[i]);
            _requireFitting(amount);
            ids[i] = _enqueue(amount, owner);
        }
    }

    function claimWithdrawal(uint256 requestId) external {
        _claim(requestId, _hintOf(requestId, 1, getLastCheckpointIndex), msg.sender);
    }

    function claimWithdrawals(uint256[] calldata requestIds, uint256[] calldata hints) external {
        _claimAll(requestIds, hints, msg.sender);
    }

    function claimWithdrawalsTo(uint256[] calldata requestIds, uint256[] calldata hints, address recipient) external {
        if (recipient == address(0)) revert ZeroRecipient();
        _claimAll(requestIds, hints, recipient);
    }

    function prefinalize(uint256[] calldata batches, uint256 maxShareRate)
        external
        view
        returns (uint256 ethToLock, uint256 sharesToBurn)
    {
        return _totals(batches[batches.length - 1], maxShareRate);
    }

    function finalize(uint256 lastRequestId, uint256 maxShareRate) external payable {
        require(msg.sender == address(STETH), "AccessControl: account is missing role");
        if (lastRequestId > getLastRequestId || lastRequestId <= getLastFinalizedRequestId) {
            revert InvalidRequestId(lastRequestId);
        }
        (uint256 ethToLock, uint256 sharesToBurn) = _totals(lastRequestId, maxShareRate);
        if (msg.value > ethToLock) revert TooMuchEtherToFinalize(msg.value, ethToLock);
        uint256 from = getLastFinalizedRequestId + 1;
        getLastCheckpointIndex++;
        _checkpoints[getLastCheckpointIndex] = Checkpoint(from, maxShareRate);
        getLockedEtherAmount += msg.value;
        getLastFinalizedRequestId = lastRequestId;
        emit WithdrawalsFinalized(from, lastRequestId, msg.value, sharesToBurn, block.timestamp);
    }

    function findCheckpointHints(uint256[] calldata requestIds, uint256 firstIndex, uint256 lastIndex)
        external
        view
        returns (uint256[] memory hintIds)
    {
        hintIds = new uint256[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; i++) {
            if (i > 0 && requestIds[i] < requestIds[i - 1]) revert RequestIdsNotSorted();
            hintIds[i] = _hintOf(requestIds[i], firstIndex, lastIndex);
        }
    }

    function getClaimableEther(uint256[] calldata requestIds, uint256[] calldata hints)
        external
        view
        returns (uint256[] memory values)
    {
        if (requestIds.length != hints.length) revert ArraysLengthMismatch(requestIds.length, hints.length);
        values = new uint256[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; i++) values[i] = _claimable(requestIds[i], hints[i]);
    }

    /// Ids of the requests that the owner has neither claimed nor given away, oldest first.
    function getWithdrawalRequests(address owner) external view returns (uint256[] memory ids) {
        ids = new uint256[](balanceOf(owner));
        uint256 found = 0;
        for (uint256 id = 1; id <= getLastRequestId && found < ids.length; id++) {
            if (_ownerOf(id) == owner) ids[found++] = id;
        }
    }

    function getWithdrawalStatus(uint256[] calldata requestIds)
        external
        view
        returns (WithdrawalRequestStatus[] memory statuses)
    {
        statuses = new WithdrawalRequestStatus[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; i++) {
            uint256 id = requestIds[i];
            if (id == 0 || id > getLastRequestId) revert InvalidRequestId(id);
            Request memory request = _requests[id];
            statuses[i] = WithdrawalRequestStatus(
                request.amount,
                request.shares,
                _lastOwner[id],
                request.timestamp,
                id <= getLastFinalizedRequestId,
                _ownerOf(id) == address(0)
            );
        }
    }

    function unfinalizedRequestNumber() external view returns (uint256) {
        return getLastRequestId - getLastFinalizedRequestId;
    }

    function unfinalizedStETH() external view returns (uint256 amount) {
        for (uint256 id = getLastFinalizedRequestId + 1; id <= getLastRequestId; id++) amount += _requests[id].amount;
    }

    mapping(uint256 => address) private _lastOwner;

    function _enqueue(uint256 amount, address owner) private returns (uint256 id) {
        if (owner == address(0)) owner = msg.sender;
        id = ++getLastRequestId;
        uint256 shares = STETH.getSharesByPooledEth(amount);
        _requests[id] = Request(amount, shares, block.timestamp);
        emit WithdrawalRequested(id, msg.sender, owner, amount, shares);
        _mint(owner, id);
    }

    function _update(address to, uint256 id, address auth) internal override returns (address) {
        if (to != address(0)) _lastOwner[id] = to;
        return super._update(to, id, auth);
    }

    function _claimAll(uint256[] calldata requestIds, uint256[] calldata hints, address recipient) private {
        if (requestIds.length != hints.length) revert ArraysLengthMismatch(requestIds.length, hints.length);
        for (uint256 i = 0; i < requestIds.length; i++) _claim(requestIds[i], hints[i], recipient);
    }

    function _claim(uint256 id, uint256 hint, address recipient) private {
        if (id == 0) revert InvalidRequestId(id);
        if (id > getLastFinalizedRequestId) revert RequestNotFoundOrNotFinalized(id);
        address owner = _ownerOf(id);
        if (owner == address(0)) revert RequestAlreadyClaimed(id);
        if (owner != msg.sender) revert NotOwner(msg.sender, owner);
        uint256 amount = _claimable(id, hint);
        getLockedEtherAmount -= amount;
        _burn(id);
        (bool paid,) = recipient.call{value: amount}("");
        if (!paid) revert CantSendValueRecipientMayHaveReverted();
        emit WithdrawalClaimed(id, owner, recipient, amount);
    }

    function _claimable(uint256 id, uint256 hint) private view returns (uint256) {
        if (id == 0 || id > getLastRequestId) revert InvalidRequestId(id);
        if (id > getLastFinalizedRequestId || _ownerOf(id) == address(0)) return 0;
        if (hint == 0 || hint > getLastCheckpointIndex) revert InvalidHint(hint);
        bool isTooOld = _checkpoints[hint].fromRequestId > id;
        bool isTooNew = hint < getLastCheckpointIndex && _checkpoints[hint + 1].fromRequestId <= id;
        if (isTooOld || isTooNew) revert InvalidHint(hint);
        return _paid(id, _checkpoints[hint].maxShareRate);
    }

    function _hintOf(uint256 id, uint256 firstIndex, uint256 lastIndex) private view returns (uint256) {
        if (firstIndex == 0 || lastIndex > getLastCheckpointIndex) revert InvalidRequestIdRange(firstIndex, lastIndex);
        if (id == 0 || id > getLastRequestId) revert InvalidRequestId(id);
        if (id > getLastFinalizedRequestId) return 0;
        for (uint256 index = lastIndex; index >= firstIndex; index--) {
            if (_checkpoints[index].fromRequestId <= id) return index;
        }
        return 0;
    }

    function _paid(uint256 id, uint256 maxShareRate) private view returns (uint256) {
        Request memory request = _requests[id];
        if (request.amount * RATE_PRECISION / request.shares <= maxShareRate) return request.amount;
        return request.shares * maxShareRate / RATE_PRECISION;
    }

    function _totals(uint256 lastRequestId, uint256 maxShareRate) private view returns (uint256 amount, uint256 shares) {
        if (maxShareRate == 0) revert ZeroShareRate();
        for (uint256 id = getLastFinalizedRequestId + 1; id <= lastRequestId; id++) {
            amount += _paid(id, maxShareRate);
            shares += _requests[id].shares;
        }
    }

    function _requireFitting(uint256 amount) private pure {
        if (amount < MIN_STETH_WITHDRAWAL_AMOUNT) revert RequestAmountTooSmall(amount);
        if (amount > MAX_STETH_WITHDRAWAL_AMOUNT) revert RequestAmountTooLarge(amount);
    }

    function _requireRunning() private view {
        if (isPaused) revert ResumedExpected();
    }
}
